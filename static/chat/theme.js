// Light, dark, or as the system has it. A classic script in the head, so that no page flashes in the wrong colours.

(() => {
  const KEY = "theme";
  const modes = ["system", "light", "dark"];
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem(KEY) ?? "system";
    } catch {
      return "system";
    }
  }

  function apply(mode) {
    if (mode === "system") delete root.dataset.theme;
    else root.dataset.theme = mode;
  }

  function choose(mode) {
    try {
      localStorage.setItem(KEY, mode);
    } catch {
      // Without storage it holds until the page is left.
    }
    apply(mode);
  }

  apply(stored());
  addEventListener("storage", ({ key }) => key === KEY && apply(stored()));
  addEventListener("DOMContentLoaded", () => {
    for (const input of document.querySelectorAll("input[name=theme]")) {
      input.checked = modes.includes(stored()) ? input.value === stored() : input.value === "system";
      input.addEventListener("change", () => choose(input.value));
    }
    for (const select of document.querySelectorAll("select[data-submits]")) {
      select.addEventListener("change", () => select.form.requestSubmit());
    }
  });
})();

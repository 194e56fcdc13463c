// Names for select2's fields, for those who hear the page: it names neither its box nor its search field by the label that
// stands beside the select.
"use strict";
{
  const chosen = "select.select2-hidden-accessible";

  function labelOf(select) {
    return select.labels[0] ?? document.querySelector(`label[for="${CSS.escape(select.id)}"]`);
  }

  /** What a field is called: its label, else the heading of its filter, else its name. */
  function nameOf(select) {
    const heading = select.closest("[data-filter], form, div")?.querySelector("h2, h3, legend");
    const text = labelOf(select)?.textContent ?? select.getAttribute("aria-label") ?? heading?.textContent ?? select.name;
    return text.trim().replace(/\s*[*:]$/, "");
  }

  function name(select) {
    const box = select.nextElementSibling?.querySelector(".select2-selection");
    if (!box) return;
    const text = nameOf(select);
    const value = box.querySelector(".select2-selection__rendered");
    // The name, then what is chosen: the value alone says nothing, and an empty one is no name.
    if (value && box.getAttribute("role") === "combobox") {
      box.removeAttribute("aria-labelledby");
      const shown = value.textContent.trim();
      box.setAttribute("aria-label", shown ? `${text}: ${shown}` : text);
    }
    select.nextElementSibling.querySelector(".select2-search__field")?.setAttribute("aria-label", text);
  }

  const nameAll = () => document.querySelectorAll(chosen).forEach(name);

  document.addEventListener("DOMContentLoaded", () => {
    const $ = window.django?.jQuery;
    if (!$) return;
    $(() => setTimeout(nameAll));
    $(document).on("select2:select select2:unselect select2:clear change", chosen, (event) => setTimeout(() => name(event.target)));
    $(document).on("formset:added", () => setTimeout(nameAll));
    $(document).on("select2:open", chosen, ({ target }) => {
      document.querySelector(".select2-container--open .select2-dropdown .select2-search__field")?.setAttribute("aria-label", nameOf(target));
    });
  });
}

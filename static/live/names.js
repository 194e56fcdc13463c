// Names for fields that have none, for those who hear the page: select2 names neither its box nor its search field by the
// label that stands beside the select, and a choice in a table of an admin's form has only the heading of its column.
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

  /** The text of what is chosen, without the cross that takes it away. */
  function chosenIn(value) {
    const parts = [...value.childNodes].filter((part) => !part.classList?.contains("select2-selection__clear"));
    return parts.map((part) => part.textContent).join("").trim();
  }

  function name(select) {
    const box = select.nextElementSibling?.querySelector(".select2-selection");
    if (!box) return;
    const text = nameOf(select);
    const value = box.querySelector(".select2-selection__rendered");
    // The name, then what is chosen: the value alone says nothing, and an empty one is no name.
    if (value && box.getAttribute("role") === "combobox") {
      box.removeAttribute("aria-labelledby");
      const shown = chosenIn(value);
      box.setAttribute("aria-label", shown ? `${text}: ${shown}` : text);
    }
    if (value?.getAttribute("role") === "textbox") value.setAttribute("aria-label", text);
    select.nextElementSibling.querySelector(".select2-search__field")?.setAttribute("aria-label", text);
  }

  function nameInTable(select) {
    const cell = select.closest("td");
    const heading = cell?.closest("table")?.querySelectorAll("thead th")[cell.cellIndex]?.textContent.trim();
    if (heading && !select.labels.length && !select.ariaLabel) select.ariaLabel = heading;
  }

  function nameAll() {
    document.querySelectorAll(chosen).forEach(name);
    document.querySelectorAll("td select").forEach(nameInTable);
  }

  document.addEventListener("DOMContentLoaded", () => {
    nameAll();
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

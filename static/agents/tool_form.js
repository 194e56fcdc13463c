// The form of a tool shows what belongs to the kind that is chosen, and whatever has an error.

const kind = document.getElementById("id_tool_kind");

function show() {
  for (const [name, needed] of Object.entries(JSON.parse(kind.dataset.fields))) {
    for (const part of document.querySelectorAll(`.field-line.field-${name}, [data-field="${name}"]`)) {
      part.closest(".form-row").hidden = needed !== kind.value && !part.classList.contains("errors");
    }
  }
}

if (kind) {
  kind.addEventListener("change", show);
  show();
}

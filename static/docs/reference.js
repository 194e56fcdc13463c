// The reference has the colours that the reader's system has.
const dark = matchMedia("(prefers-color-scheme: dark)");

function paint() {
  document.querySelector("rapi-doc").setAttribute("theme", dark.matches ? "dark" : "light");
}

document.addEventListener("DOMContentLoaded", paint);
dark.addEventListener("change", paint);

// Redoc's footer shows a picture from its maker's server. This page asks nothing of other servers: such a picture
// becomes an empty one, which Redoc then leaves out.
const images = HTMLImageElement.prototype;
const source = Object.getOwnPropertyDescriptor(images, "src");

function own(url) {
  const { origin, protocol } = new URL(url, location);
  return origin === location.origin || protocol === "data:" ? url : "data:,";
}

Object.defineProperty(images, "src", {
  ...source,
  set(url) {
    source.set.call(this, own(url));
  },
});
images.setAttribute = function (name, value) {
  Element.prototype.setAttribute.call(this, name, name === "src" ? own(value) : value);
};

// Sums of money. Amounts come as decimal text and are added as whole numbers, because binary fractions lose cents.

const PLACES = 12;
const AMOUNT = /^(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i;

/** The sum of two amounts, both decimal text ("0.00021", "2.1E-7"), without trailing zeros. */
export function addAmounts(left, right) {
  return toText(toUnits(left) + toUnits(right));
}

function toUnits(text) {
  const [, whole, fraction = "", exponent = "0"] = AMOUNT.exec(text) ?? [null, "0"];
  const shift = PLACES - fraction.length + Number(exponent);
  const digits = whole + fraction;
  return BigInt(shift >= 0 ? digits + "0".repeat(shift) : digits.slice(0, shift) || "0");
}

function toText(units) {
  const digits = units.toString().padStart(PLACES + 1, "0");
  const fraction = digits.slice(-PLACES).replace(/0+$/, "");
  return digits.slice(0, -PLACES) + (fraction && `.${fraction}`);
}

/** localStorage as JSON, under `msaas.…`. Without storage nothing is kept. */

export function load(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`msaas.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(`msaas.${name}`, JSON.stringify(value));
  } catch {
    // full, or forbidden
  }
}

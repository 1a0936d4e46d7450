/** localStorage as JSON, under `msaas.…`. A browser that has none, or refuses, simply forgets. */

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

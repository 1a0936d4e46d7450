// Sets the chosen colours before anything is drawn. A classic script on purpose: modules come after the first paint.
try {
  const chosen = localStorage.getItem("msaas.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage: the system's colours
}

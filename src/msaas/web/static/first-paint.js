// Applies the chosen colours before the first paint. A classic script, since modules run later.
try {
  const chosen = localStorage.getItem("msaas.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage: the system's colours
}

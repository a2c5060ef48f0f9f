// A choice of versions in the bar, where several stand side by side (bash .ci/site).
document.addEventListener("DOMContentLoaded", () => {
  const bar = document.querySelector(".navbar-header-items__end");
  if (!bar || window.alsVersions.length < 2) return;
  const root = new URL(document.documentElement.dataset.content_root, location.href);
  const own = root.pathname.split("/").at(-2);
  const choice = Object.assign(document.createElement("select"), { id: "versions", className: "form-select form-select-sm" });
  choice.setAttribute("aria-label", "Version of these pages");
  for (const [folder, label] of window.alsVersions) choice.append(new Option(label, folder, false, folder === own));
  choice.addEventListener("change", () => location.assign(new URL(`../${choice.value}/index.html`, root)));
  bar.prepend(choice);
});

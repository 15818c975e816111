// Sets the colours before anything is painted: what was chosen here before, or what the system wants.
document.documentElement.dataset.theme = localStorage.getItem("pillarbox.theme") ?? "system";

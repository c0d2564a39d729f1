// Buttons beside shortened identifiers copy the whole of them.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.dataset.state = "copied";
  } catch {
    // No clipboard without TLS: mark the text, and the reader's own keys copy it.
    const code = button.parentElement.querySelector("code");
    code.textContent = button.dataset.copy;
    getSelection().selectAllChildren(code);
  }
  setTimeout(() => delete button.dataset.state, 1500);
});

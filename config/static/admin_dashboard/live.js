// Keeps the chain's height on the dashboard current, from the same socket that everybody may listen to.
const scheme = location.protocol === "https:" ? "wss:" : "ws:";

function listen(delay) {
  const socket = new WebSocket(`${scheme}//${location.host}/ws/chain`);
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    const figure = document.querySelector(`[data-chain-id="${Number(message.chain_id)}"]`);
    if (figure && message.type === "block") figure.textContent = message.block;
    delay = 1000;
  });
  socket.addEventListener("close", () => setTimeout(() => listen(Math.min(delay * 2, 30000)), delay));
}

listen(1000);

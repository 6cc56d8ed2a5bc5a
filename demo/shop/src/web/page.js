setInterval(async () => {
  try {
    const answer = await fetch("/version");
    if (!answer.ok) return;
    const now = await answer.json();
    if (now.version !== document.body.dataset.version) location.reload();
    const orders = document.getElementById("orders");
    if (orders && now.orders !== null) orders.textContent = now.orders;
  } catch { /* It is being replaced; the next look will tell. */ }
}, 2000);

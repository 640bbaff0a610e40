const response = await fetch("/api/time");
document.getElementById("now").textContent = (await response.json()).time;

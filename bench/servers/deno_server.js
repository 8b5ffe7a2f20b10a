// Echo with Deno. Argument: port
const everybody = new Set();
Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.args[0]), onListen() {} }, (request) => {
  const { socket, response } = Deno.upgradeWebSocket(request);
  const broadcasts = new URL(request.url).pathname === "/broadcast";
  socket.binaryType = "arraybuffer";
  if (broadcasts) {
    socket.onopen = () => everybody.add(socket);
    socket.onclose = () => everybody.delete(socket);
    socket.onmessage = (event) => everybody.forEach((each) => each.send(event.data));
  } else {
    socket.onmessage = (event) => socket.send(event.data);
  }
  return response;
});

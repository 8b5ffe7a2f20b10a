// The chat server of the tutorials on nodejs-websocket, on a port of the system's choice.
// Its log goes to standard output, as in the tutorials; it ends when its input ends.

import ws from "nodejs-websocket";

// 定义一个变量来记录连接的数量
var clientCount = 0;

var server = ws.createServer(function (conn) {
    // 每次有新的连接进入服务端时clientCount都加1
    clientCount++;
    // 通知所有人，有人进来了
    sendMessageToClient("user" + clientCount+" come in!");
    console.log("New connection")

    conn.on("text", function (str) {
        console.log("Received "+str)
        // 给每个连接都发送信息
        sendMessageToClient(str);
    })
    conn.on("error", function (err) {
        console.log("Error "+err)
    })
    conn.on("close", function (code, reason) {
        console.log("Connection closed")
    })
}).listen(0, "127.0.0.1", function () {
    console.log("websocket server connection on port " + server.socket.address().port)
})

/**
 * 给所有连接到服务器上的客户端都发送消息
 * @param str
 */
function sendMessageToClient(str){
    server.connections.forEach(function (connection) {
        connection.sendText(str);
    })
}

process.stdin.resume().on("end", () => process.exit(0));

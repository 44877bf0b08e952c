// peers/compose.js PORT ORIGIN_PORT [http]
//
// What a team would write in place of a composition: three services asked at once over kept connections, their answers parsed, one
// answer written; a service that fails is null and is named. No framework. By fetch, or by http.get, which costs less.
"use strict";
const http = require("node:http");

const [, , port, origin, means] = process.argv;
const calls = { user: "/user/j1k", orders: "/orders/j1k", recommendations: "/recommendations/j1k" };

const byFetch = async (path) => {
  const response = await fetch(`http://127.0.0.1:${origin}${path}`, { signal: AbortSignal.timeout(2000) });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
};

const agent = new http.Agent({ keepAlive: true, maxSockets: 512 });
const byGet = (path) => new Promise((resolve, reject) => {
  const request = http.get({ host: "127.0.0.1", port: origin, path, agent, timeout: 2000 }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (piece) => (text += piece)).on("error", reject).on("end", () => {
      if (response.statusCode !== 200) return reject(new Error(`status ${response.statusCode}`));
      try {
        resolve(JSON.parse(text));
      } catch (error) {
        reject(error);
      }
    });
  });
  request.on("error", reject).on("timeout", () => request.destroy(new Error("too slow")));
});

const ask = means === "http" ? byGet : byFetch;
const server = http.createServer(async (request, response) => {
  const names = Object.keys(calls);
  const results = await Promise.allSettled(names.map((name) => ask(calls[name])));
  const answer = Object.fromEntries(names.map((name, i) => [name, results[i].value ?? null]));
  const failed = names.filter((_, i) => results[i].status === "rejected");
  if (failed.length > 0) Object.assign(answer, { degraded: true, failedServices: failed });
  const body = JSON.stringify(answer);
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) }).end(body);
});
server.keepAliveTimeout = 3_600_000;
server.listen(port, "127.0.0.1");

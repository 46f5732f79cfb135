/** A backend that answers as it is told and remembers what it was asked. */

import { createServer } from "node:http";
import { after } from "node:test";

const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  const { authorization, "content-type": type, "x-backpack-session": session } = request.headers;
  const call = `${request.method} ${request.url}`;
  backend.requests.push({ call, body, ...(type && { type }), ...(session && { session }) });
  backend.keys.push(authorization);
  send(response, backend.answers.shift() ?? { status: 200, headers: {}, body: {} });
});

function send(response, { status, headers, body }) {
  if (status === 0) return response.socket.destroy();
  const text = typeof body === "string" ? body : JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", ...headers });
  // Shorter than its content-length says: the rest never comes.
  if (headers["content-length"] > text.length) response.write(text, () => response.socket.destroy());
  else response.end(text);
}

export const backend = {
  url: "",
  requests: [],
  keys: [],
  answers: [],

  /** Queue one answer; status 0 hangs up. Without any it is `{}`. */
  answer(body, status = 200, headers = {}) {
    this.answers.push({ status, headers, body });
    return this;
  },

  /** What was asked since the last time. */
  heard() {
    this.keys.length = 0;
    return this.requests.splice(0);
  },
};

await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
server.unref();
backend.url = `http://127.0.0.1:${server.address().port}`;
after(() => {
  server.closeAllConnections();
  server.close();
});

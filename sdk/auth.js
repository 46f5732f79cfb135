/** Accounts and the session: who is logged in. The session's token, where there is one, stays in the client. */

/**
 * @param {import("./client.js").Client} client
 * @returns {import("./index.d.ts").Auth}
 */
export function createAuth(client) {
  return {
    get session() {
      return client.session;
    },

    async register(email, password) {
      const { body } = await client.send("POST", ["register"], { data: { email, password } });
      return body;
    },

    async login(email, password) {
      const data = client.usesCookies ? { email, password } : { email, password, token: true };
      const { body } = await client.send("POST", ["login"], { data });
      if (!client.usesCookies) client.session = body.token;
      return { id: body.id };
    },

    async logout() {
      const { body } = await client.send("POST", ["logout"]);
      client.session = null;
      return body;
    },

    async me() {
      const { body } = await client.send("GET", ["me"]);
      return body;
    },

    async changePassword(current, next) {
      const { body } = await client.send("PUT", ["me", "password"], { data: { current, new: next } });
      return body;
    },
  };
}

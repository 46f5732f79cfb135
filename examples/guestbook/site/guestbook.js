/** What a guestbook does, on top of the SDK. No page here, so that tests can use it too. */

const ENTRIES = "entries";

export function createGuestbook({ auth, db }) {
  return {
    /** The visitor's account, or null for a guest. */
    async visitor() {
      try {
        return await auth.me();
      } catch (error) {
        if (error.status === 403) return null;
        throw error;
      }
    },

    /** Logs in; makes the account when there is none of that address. */
    async enter(email, password) {
      try {
        await auth.register(email, password);
      } catch (error) {
        if (error.code !== "existing_user") throw error;
      }
      await auth.login(email, password);
    },

    leave: () => auth.logout(),

    /** The latest entries, the newest first. */
    async latest(limit = 50) {
      try {
        return await db.getCollection(ENTRIES, { sort: "-_id", limit });
      } catch (error) {
        if (error.code === "unknown_collection") return []; // nobody has signed yet
        throw error;
      }
    },

    async sign(name, text) {
      await db.createNewCollection(ENTRIES); // fine when it is there already
      return db.createResource(ENTRIES, { name: name.trim(), text: text.trim() });
    },

    erase: (entry) => db.deleteResource(ENTRIES, entry._id),
  };
}

/** Files of users: uploads as multipart, and where a file is found. */

/**
 * @param {import("./client.js").Client} client
 * @returns {import("./index.d.ts").Storage}
 */
export function createStorage(client) {
  /**
   * @param {string} method
   * @param {string[]} path
   * @param {import("./client.js").Content} [content]
   */
  async function send(method, path, content) {
    const { body } = await client.send(method, ["uploads", ...path], content);
    return body;
  }

  return {
    getFile: (userId, filename, { signal } = {}) => client.open(["uploads", userId, filename], { signal }),
    getFileUrl: (userId, filename) => client.address(["uploads", userId, filename]),
    getListOfUserFiles: (userId) => send("GET", [userId]),

    async uploadFile(file, filename = nameOf(file), bucket, { signal, onProgress } = {}) {
      return send("POST", [], { form: formOf({ bucket, filename }, file), signal, onProgress });
    },

    async updateFile(filename, newFilename, bucket) {
      return send("PATCH", [filename], { data: { filename: newFilename, bucket } });
    },

    async overwriteFile(file, filename = nameOf(file) ?? "", { signal, onProgress } = {}) {
      return send("PUT", [filename], { form: formOf({}, file), signal, onProgress });
    },

    deleteFile: (filename) => send("DELETE", [filename]),
  };
}

/**
 * The file last: the backend can refuse a name before it reads what follows.
 *
 * @param {Record<string, string | undefined>} fields
 * @param {import("./index.d.ts").FileContent} file
 */
function formOf(fields, file) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.append(name, value);
  // Without one, "no file uploaded" is the backend's answer.
  if (file !== undefined && file !== null) form.append("file", file instanceof Blob ? file : new Blob([file]), nameOf(file) ?? "file");
  return form;
}

/** @param {import("./index.d.ts").FileContent} file */
function nameOf(file) {
  return typeof File === "function" && file instanceof File ? file.name : undefined;
}

/** What may be asked over a socket: a method for each action, and the message it sends. */

/**
 * @param {(message: Record<string, unknown>) => Promise<any>} send
 * @returns {import("./index.d.ts").Actions}
 */
export function createActions(send) {
  return {
    findResource: (collection, query) => send({ action: "find", collection, query }),
    getCollection: (collection) => send({ action: "getAll", collection }),
    getResource: (collection, id) => send({ action: "getOne", collection, id }),
    createResource: (collection, data) => send({ action: "create", collection, data }),
    overwriteResource: (collection, id, data) => send({ action: "update", collection, id, data }),
    updateResource: (collection, id, data) => send({ action: "patch", collection, id, data }),
    deleteResource: (collection, id) => send({ action: "delete", collection, id }),

    open: (message) => send({ ...message, action: "open" }),
    close: (message) => send({ ...message, action: "close" }),
    broadcast: (message) => send({ ...message, action: "broadcast" }),
    sendMessage: (message) => send({ ...message }),

    joinUsersChannels: (usersInformationCollection) => send({ action: "joinUsersChannels", usersInformationCollection }),
    createChannel: (usersInformationCollection, channelType, name) =>
      send({ action: "createChannel", usersInformationCollection, channelType, name }),
    joinChannel: (usersInformationCollection, channelType, channelId) =>
      send({ action: "joinChannel", usersInformationCollection, channelType, channelId }),
    leaveChannel: (usersInformationCollection, channelType, channelId) =>
      send({ action: "leaveChannel", usersInformationCollection, channelType, channelId }),
    changeChannel: (usersInformationCollection, channelType, channelId) =>
      send({ action: "changeChannel", usersInformationCollection, channelType, channelId }),
    deleteChannel: (usersInformationCollection, channelMessagesCollection, channelType, channelId) =>
      send({ action: "deleteChannel", usersInformationCollection, channelMessagesCollection, channelType, channelId }),

    presence: (channelType, channelId) => send({ action: "presence", channelType, channelId }),
  };
}

/** A chat as apps wrote it for a plain WebSocket: calls without waiting, and one handler for all messages. */

/** What came of it: the members of each message, in the order in which they arrived. */
export function plainChat(sdk, email) {
  const members = `members-${email.split("@")[0]}`;
  const rooms = `rooms-${email.split("@")[0]}`;
  const seen = [];
  const socket = sdk.ws();
  let channelId;

  const steps = {
    joinUsersChannels: () => socket.actions.createChannel(members, rooms, "Sailing"),
    createChannel({ response }) {
      channelId = response._id;
      socket.actions.createResource(rooms, { text: "Ahoy", channelType: rooms, channelId });
    },
    create({ response }) {
      socket.actions.updateResource(rooms, response._id, { text: "Ahoy!" });
    },
    patch({ response }) {
      socket.actions.overwriteResource(rooms, response._id, { text: "Bye", channelType: rooms, channelId });
    },
    update({ response }) {
      socket.actions.deleteResource(rooms, response._id);
    },
    delete: () => socket.actions.changeChannel(members, rooms, channelId),
    changeChannel: () => socket.actions.joinChannel(members, rooms, channelId),
    joinChannel: () => socket.actions.broadcast({ move: 1, channelType: rooms, channelId }),
    broadcast: () => socket.actions.leaveChannel(members, rooms, channelId),
    leaveChannel: () => socket.actions.getResource(rooms, channelId),
    getOne: () => socket.actions.sendMessage({ action: "userTyping" }),
    error: () => socket.close(),
  };

  return new Promise((resolve) => {
    socket.onopen = () => socket.actions.joinUsersChannels(members);
    socket.onclose = () => resolve(seen);
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      seen.push(Object.keys(message).sort().join(" "));
      steps[message.action]?.(message);
    };
  });
}

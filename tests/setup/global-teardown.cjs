module.exports = async () => {
  await Promise.all(globalThis.candlewireTestServers.map((server) => server.stop()));
};

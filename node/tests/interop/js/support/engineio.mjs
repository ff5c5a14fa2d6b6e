// Stock Engine.IO clients without Socket.IO: they send messages to an endpoint that echoes, one after the echo of the other.
import { Socket } from "engine.io-client";
import version3 from "engine.io-client-3";

import { transports } from "./client.mjs";
import { within } from "./wait.mjs";

const libraries = { 3: (url, options) => version3(url, options), 6: (url, options) => new Socket(url, options) };

/** Takes a major version of engine.io-client; resolves to the echoes. */
export const echo = (version) => async (url, { mode, path, messages }) => {
  const socket = libraries[version](url, { path, transports: transports[mode] });
  const echoes = [];
  const exchange = new Promise((resolve, reject) => {
    const next = () => socket.send(messages[echoes.length]);
    socket.once("error", reject);
    socket.once("close", (reason) => reject(new Error(reason)));
    socket.on("message", (data) => {
      echoes.push(data);
      if (echoes.length === messages.length) resolve(echoes);
      else next();
    });
    socket.once(mode === "upgrade" ? "upgrade" : "open", next);
  });
  try {
    return await within("the echoes", exchange);
  } finally {
    socket.close();
  }
};

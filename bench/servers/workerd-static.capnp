# A static worker: hello world at its fastest.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "hello", worker = .hello)],
  sockets = [(name = "http", http = (), service = "hello")],
);

const hello :Workerd.Worker = (
  modules = [(name = "hello.mjs", esModule = embed "workerd-hello.mjs")],
  compatibilityDate = "2026-11-01",
);

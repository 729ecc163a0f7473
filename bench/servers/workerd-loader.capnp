# A worker that loads another one for each new path: the cold start of workerd's Worker Loader.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "loader", worker = .loader)],
  sockets = [(name = "http", http = (), service = "loader")],
);

const loader :Workerd.Worker = (
  modules = [
    (name = "loader.mjs", esModule = embed "workerd-loader.mjs"),
    (name = "hello.txt", text = embed "workerd-hello.mjs"),
  ],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["experimental"],
  bindings = [(name = "LOADER", workerLoader = (id = "bench"))],
);

//! The options of the program and the help that explains them.
//!
//! Values are taken as text: [`Config`](super::config::Config) reads them, so that everything that is wrong is said at once.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser};

use super::http::Http;

/// A node of a Socket.IO cluster.
///
/// Without any option it serves clients at http://127.0.0.1:3000/ with a demo for the browser, alone. Several nodes on one
/// bus (--bus redis://…) are one cluster: whatever is sent to a room or a client reaches it, whichever node it is
/// connected to.
#[derive(Debug, Parser)]
#[command(name = "sockeye", version, max_term_width = 110, after_long_help = AFTER)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) addresses: Addresses,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    #[command(flatten)]
    pub(crate) clients: Clients,
    #[command(flatten)]
    pub(crate) engine: EngineIo,
    #[command(flatten)]
    pub(crate) http: Http,
    #[command(flatten)]
    pub(crate) limits: ClientLimits,
    #[command(flatten)]
    pub(crate) operation: Operation,
}

const AFTER: &str = "\
Examples:
  Alone, with the demo, at http://127.0.0.1:3000/
    sockeye
  One of several nodes on this machine
    sockeye --listen 127.0.0.1:3001 --bus redis://127.0.0.1:6379
  A node behind a load balancer
    sockeye --listen 0.0.0.0:3000 --admin-listen 0.0.0.0:9090 \\
        --bus redis://redis:6379 --secret-file /run/secrets/sockeye

Every option can be an environment variable, too; the command line wins.
Durations are a number with a unit: 500ms, 25s, 2m.

Endpoints, on --admin-listen if it is given, else on --listen:
  /healthz   200 while the process lives
  /readyz    200 while it should get traffic, with a JSON object that says more
  /metrics   for Prometheus

The first line on standard output is `listening on ADDRESS`; the log goes to standard error.
SIGTERM or SIGINT ends the node cleanly, a second one at once.
Exit status: 0 after a signal, 1 if the node could not run, 2 if the options are wrong.";

#[derive(Debug, Args)]
#[command(next_help_heading = "Addresses")]
pub(crate) struct Addresses {
    /// Where clients connect: IP:PORT, as in 127.0.0.1:3000, 0.0.0.0:3000 or [::]:3000.
    ///
    /// Port 0 picks a free one.
    #[arg(long, env = "SOCKEYE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,

    /// A separate address for /healthz, /readyz and /metrics.
    ///
    /// Without it they are served on --listen, where clients can see them, too.
    #[arg(long, env = "SOCKEYE_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Cluster {
    /// The bus that connects the nodes.
    ///
    /// memory:// is for one node alone. redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss://… for TLS (?ca=FILE names a CA of
    /// your own), redis+unix://PATH for a socket file. If the bus is away the node starts all the same, serves its own clients, and
    /// connects as soon as it can.
    #[arg(long, env = "SOCKEYE_BUS", value_name = "URL", default_value = "memory://")]
    pub(crate) bus: String,

    /// The channel on the bus; nodes and emitters on one channel are one cluster.
    #[arg(long, env = "SOCKEYE_CHANNEL", value_name = "NAME", default_value = "socketio")]
    pub(crate) channel: String,

    /// Speak with nodes of another kind on the same channel, in both directions: python (python-socketio servers).
    ///
    /// What Python's write-only managers publish is heard without it.
    #[arg(long, env = "SOCKEYE_BRIDGE", value_name = "KIND", value_delimiter = ',')]
    pub(crate) bridge: Vec<String>,

    /// A secret that all nodes share, at least 16 bytes; it signs session ids.
    ///
    /// Give several to change it without cutting anyone off: the first signs, all are accepted. Without any, each node makes one of its
    /// own, which is right for one node. Others on this machine can see a command line: prefer the environment (several
    /// secrets separated by commas) or --secret-file.
    #[arg(long, env = "SOCKEYE_SECRET", value_name = "SECRET", value_delimiter = ',')]
    pub(crate) secret: Vec<String>,

    /// A file with secrets, one in a line; they come after those of --secret.
    #[arg(long, env = "SOCKEYE_SECRET_FILE", value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,

    /// What this node is called in logs, metrics and the demo [default: its random id].
    #[arg(long, env = "SOCKEYE_NODE_NAME", value_name = "NAME")]
    pub(crate) node_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Clients")]
pub(crate) struct Clients {
    /// Web pages of this origin may connect, as in https://app.example.com; * is any. Repeat it for several.
    ///
    /// Pages of the node's own origin always may.
    #[arg(long, env = "SOCKEYE_CORS", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) cors: Vec<String>,

    /// Let every client enter and leave rooms by itself with the events `join` and `leave`.
    ///
    /// Without it clients are in no rooms but their own until something on the bus puts them there. On while the demo is on.
    #[arg(long, env = "SOCKEYE_ALLOW_JOIN")]
    pub(crate) allow_join: bool,

    /// Serve a file or a folder at a URL, as in /=public/index.html or /assets=public/assets. Repeat it for several.
    ///
    /// For development: a web server does it better. The demo, if it is on, comes first.
    #[arg(long = "static", env = "SOCKEYE_STATIC", value_name = "URL=PATH", value_delimiter = ',')]
    pub(crate) static_files: Vec<String>,

    /// Serve the demo at /, in which every client may join rooms and send [default: on if --listen is a loopback address].
    #[arg(
        long, env = "SOCKEYE_DEMO", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", overrides_with = "no_demo"
    )]
    pub(crate) demo: Option<String>,

    /// Do not serve the demo; the same as --demo=false.
    #[arg(long, overrides_with = "demo")]
    pub(crate) no_demo: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Engine.IO")]
pub(crate) struct EngineIo {
    /// The path that clients connect to; their option `path` must be the same.
    #[arg(long, env = "SOCKEYE_PATH", value_name = "PATH", default_value = "/socket.io/")]
    pub(crate) path: String,

    /// How often each client is sent a heartbeat.
    #[arg(long, env = "SOCKEYE_PING_INTERVAL", value_name = "DURATION", default_value = "25s")]
    pub(crate) ping_interval: String,

    /// How long a client may take to answer it.
    #[arg(long, env = "SOCKEYE_PING_TIMEOUT", value_name = "DURATION", default_value = "20s")]
    pub(crate) ping_timeout: String,

    /// How long a client may take to join its first namespace.
    #[arg(long, env = "SOCKEYE_CONNECT_TIMEOUT", value_name = "DURATION", default_value = "45s")]
    pub(crate) connect_timeout: String,

    /// How long the move from long-polling to WebSocket may take.
    #[arg(long, env = "SOCKEYE_UPGRADE_TIMEOUT", value_name = "DURATION", default_value = "10s")]
    pub(crate) upgrade_timeout: String,

    /// The largest message that a client may send.
    #[arg(long, env = "SOCKEYE_MAX_PAYLOAD", value_name = "BYTES", default_value = "1000000")]
    pub(crate) max_payload: String,

    /// Which transports are served: polling, websocket, or both.
    #[arg(
        long,
        env = "SOCKEYE_TRANSPORTS",
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "polling,websocket"
    )]
    pub(crate) transports: Vec<String>,

    /// How packets are written: json, which every client speaks, or msgpack, for clients with socket.io-msgpack-parser.
    ///
    /// All clients and all nodes of a cluster have to use the same. The demo speaks json.
    #[arg(long, env = "SOCKEYE_PARSER", value_name = "FORMAT", default_value = "json")]
    pub(crate) parser: String,

    /// Leave clients that began with long-polling there.
    #[arg(long, env = "SOCKEYE_NO_UPGRADES")]
    pub(crate) no_upgrades: bool,

    /// Serve clients of Engine.IO 3, too: Socket.IO 1.x and 2.x.
    ///
    /// The socket ids of such clients are their session ids: who is told one can take a long-polling session over.
    #[arg(long, env = "SOCKEYE_EIO3")]
    pub(crate) eio3: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct ClientLimits {
    /// What happens beyond a limit: enforce refuses it, warn only counts and logs it.
    ///
    /// What protects the memory of the process is enforced all the same.
    #[arg(long, env = "SOCKEYE_LIMITS_MODE", value_name = "MODE", default_value = "enforce")]
    pub(crate) limits_mode: String,

    /// Attachments of one event.
    #[arg(long, env = "SOCKEYE_MAX_ATTACHMENTS", value_name = "NUMBER", default_value = "10")]
    pub(crate) max_attachments: String,

    /// How deep the arguments of an event may nest, 127 at the most.
    #[arg(long, env = "SOCKEYE_MAX_JSON_DEPTH", value_name = "NUMBER", default_value = "64")]
    pub(crate) max_json_depth: String,

    /// Values in the arguments of one event: numbers, texts, lists, objects.
    #[arg(long, env = "SOCKEYE_MAX_JSON_VALUES", value_name = "NUMBER", default_value = "250000")]
    pub(crate) max_json_values: String,

    /// Namespaces that one connection may join.
    #[arg(long, env = "SOCKEYE_MAX_NAMESPACES", value_name = "NUMBER", default_value = "64")]
    pub(crate) max_namespaces: String,

    /// Rooms that one client may be in.
    #[arg(long, env = "SOCKEYE_MAX_ROOMS", value_name = "NUMBER", default_value = "20000")]
    pub(crate) max_rooms: String,

    /// Answers that one client may owe at a time.
    #[arg(long, env = "SOCKEYE_MAX_PENDING_ACKS", value_name = "NUMBER", default_value = "10000")]
    pub(crate) max_pending_acks: String,

    /// Events per second that one client may send in the long run; 0 is no limit. A faster one is read more slowly.
    #[arg(long, env = "SOCKEYE_EVENT_RATE", value_name = "NUMBER", default_value = "50000")]
    pub(crate) event_rate: String,

    /// Events that one client may send at once, before its rate counts.
    #[arg(long, env = "SOCKEYE_EVENT_BURST", value_name = "NUMBER", default_value = "100000")]
    pub(crate) event_burst: String,

    /// Bytes that may wait for one client that does not read; with more it is disconnected as `slow`.
    #[arg(long, env = "SOCKEYE_MAX_QUEUE", value_name = "BYTES", default_value = "4194304")]
    pub(crate) max_queue: String,

    /// What a client that does not read misses before that: drop-volatile, drop-events (it stays connected), or close.
    #[arg(long, env = "SOCKEYE_SLOW_POLICY", value_name = "POLICY", default_value = "drop-volatile")]
    pub(crate) slow_policy: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Operation")]
pub(crate) struct Operation {
    /// Answer 503 on /readyz while the bus is away.
    ///
    /// Without it the node says `degraded` there but stays ready: its clients still reach each other.
    #[arg(long, env = "SOCKEYE_REQUIRE_BUS")]
    pub(crate) require_bus: bool,

    /// How long the end waits for handlers that still run.
    #[arg(long, env = "SOCKEYE_SHUTDOWN_TIMEOUT", value_name = "DURATION", default_value = "10s")]
    pub(crate) shutdown_timeout: String,

    /// How much is logged: off, error, warn, info, debug, trace, or by part as in info,sockeye_bus=debug.
    #[arg(long, env = "SOCKEYE_LOG_LEVEL", value_name = "FILTER", default_value = "info")]
    pub(crate) log_level: String,

    /// Log the clients of the Socket.IO layer: who joins and leaves, and each event's name and size, but not what is in it.
    ///
    /// The same as sockeye::socketio=trace in --log-level.
    #[arg(long, env = "SOCKEYE_LOG_SOCKETIO")]
    pub(crate) log_socketio: bool,

    /// Log the Engine.IO layer below: sessions, transports, and each packet's kind and size.
    ///
    /// The same as sockeye::engineio=trace in --log-level.
    #[arg(long, env = "SOCKEYE_LOG_ENGINEIO")]
    pub(crate) log_engineio: bool,

    /// How it is logged: text, or json with one object in a line.
    #[arg(long, env = "SOCKEYE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: String,
}

impl Cli {
    /// Reads the command line and the environment. Shows the help, or what is wrong, and ends the program if it has to.
    pub(crate) fn read() -> Self {
        let matches = Self::complete_command().get_matches();
        match Self::from_arg_matches(&matches) {
            Ok(cli) => cli,
            Err(error) => error.exit(),
        }
    }

    /// The help shows names of variables but not their values: some are secrets, and a bus URL may hold a password.
    fn complete_command() -> clap::Command {
        Self::command().mut_args(|arg| arg.hide_env_values(true))
    }

    #[cfg(test)]
    pub(crate) fn from_words(words: &[&str]) -> Self {
        Self::try_parse_from([&["sockeye"], words].concat()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::complete_command().debug_assert();
    }

    #[test]
    fn every_option_has_the_variable_of_its_name() {
        for arg in Cli::complete_command().get_arguments() {
            let name = arg.get_long().unwrap();
            if name == "no-demo" {
                continue; // SOCKEYE_DEMO=false
            }
            let variable = format!("SOCKEYE_{}", name.to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(&*variable), "--{name}");
        }
    }
}

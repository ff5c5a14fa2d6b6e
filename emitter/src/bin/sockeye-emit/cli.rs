//! The command line, and what it asks for.

use crate::{arguments, report::Failure};
use clap::{ArgGroup, Parser, builder::NonEmptyStringValueParser};
use sockeye_emitter::{Args, Broadcast, Builder, Dialect, Emitter, Receipt};
use std::{path::PathBuf, time::Duration};

const EXAMPLES: &str = r#"Examples:
  Everyone hears "news" with one argument, a string (JSON, so it has quotes of its own):
    sockeye-emit news '"It snows."'
  The same without JSON; several arguments:
    sockeye-emit --text news "It snows." "since noon"
  Two rooms of a namespace, less one socket by its id:
    sockeye-emit -n /chat -t lobby -t staff -x 4fQbZ-8WqEkL0cVtAAAB typing '{"who":"ann"}' true
  Bytes of a file as an argument; another broker, with its password where others do not see it:
    export SOCKEYE_BUS=redis://worker:PASSWORD@10.0.0.5
    sockeye-emit avatar '"ann"' @ann.png
  Rooms and connections:
    sockeye-emit -t 4fQbZ-8WqEkL0cVtAAAB --join lobby
    sockeye-emit --close-room lobby
    sockeye-emit -t banned --disconnect --close
  Many events, one a line: a list with the event first, or an object whose keys win over the options:
    sockeye-emit < events.txt
      ["tick",1]
      {"event":"tick","args":[2],"to":["a","b"],"except":"c","namespace":"/n","volatile":true}
  To the clients of python-socketio servers:
    sockeye-emit --dialect python news '"It snows."'

Exit status: 0 the broker took everything; 1 something was lost; 2 the command line is wrong.
"Taken" is what the broker can say: on Redis, how many nodes heard it. It says nothing about clients."#;

/// Publishes Socket.IO events to the clients of a Sockeye cluster.
///
/// Without EVENT, reads events from standard input, one a line.
#[derive(Debug, Parser)]
#[command(name = "sockeye-emit", version, after_help = EXAMPLES, max_term_width = 110)]
#[command(group = ArgGroup::new("operation").args(["event", "join", "leave", "close_room", "disconnect"]))]
pub(crate) struct Cli {
    /// The event's name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    event: Option<String>,
    /// Its arguments: JSON values, and @FILE for the bytes of a file (@- for standard input).
    #[arg(value_name = "ARG", allow_negative_numbers = true, requires = "event")]
    args: Vec<String>,

    /// The broker that the nodes use. May have ?channel=NAME and ?dialect=NAME, which win over the options.
    #[arg(
        long,
        value_name = "URL",
        env = "SOCKEYE_BUS",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379",
        help_heading = "Broker"
    )]
    bus: String,
    /// The channel that the nodes use.
    #[arg(long, value_name = "NAME", env = "SOCKEYE_CHANNEL", default_value = "socketio", value_parser = NonEmptyStringValueParser::new(), help_heading = "Broker")]
    channel: String,
    /// How messages are written: `native` for Sockeye, `python` for python-socketio servers and Sockeye.
    #[arg(long, value_name = "NAME", default_value = "native", help_heading = "Broker")]
    dialect: Dialect,
    /// How many seconds to wait for the broker: to be reached, and then to take a message.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, help_heading = "Broker")]
    timeout: Duration,

    /// The namespace.
    #[arg(short, long, value_name = "PATH", default_value = "/", value_parser = NonEmptyStringValueParser::new(), help_heading = "Who")]
    namespace: String,
    /// A room, or the id of a socket; may be repeated. Without any, everyone in the namespace.
    #[arg(short, long, value_name = "ROOM", value_parser = room, allow_hyphen_values = true, help_heading = "Who")]
    to: Vec<String>,
    /// A room whose members are left out, or the id of a socket; may be repeated.
    #[arg(short = 'x', long, value_name = "ROOM", value_parser = room, allow_hyphen_values = true, help_heading = "Who")]
    except: Vec<String>,
    /// Says that --join, --leave or --disconnect without --to and --except really mean everyone in the namespace.
    #[arg(long, help_heading = "Who")]
    everyone: bool,

    /// Take the arguments as strings, not as JSON; nothing in them has a meaning.
    #[arg(long, requires = "event", help_heading = "What")]
    text: bool,
    /// Add the bytes of a file as another argument, behind the others (- for standard input); may be repeated.
    #[arg(long, value_name = "FILE", requires = "event", help_heading = "What")]
    binary: Vec<PathBuf>,
    /// Clients that do not keep up may miss it.
    #[arg(long, conflicts_with_all = ["join", "leave", "close_room", "disconnect", "server"], help_heading = "What")]
    volatile: bool,
    /// Send EVENT to the nodes' own handlers for server-side events, not to clients.
    #[arg(long, requires = "event", conflicts_with_all = ["to", "except"], help_heading = "What")]
    server: bool,
    /// Put the sockets into this room; may be repeated.
    #[arg(long, value_name = "ROOM", value_parser = room, allow_hyphen_values = true, help_heading = "What")]
    join: Vec<String>,
    /// Take the sockets out of this room; may be repeated.
    #[arg(long, value_name = "ROOM", value_parser = room, allow_hyphen_values = true, help_heading = "What")]
    leave: Vec<String>,
    /// Take everyone out of this room; may be repeated.
    #[arg(long, value_name = "ROOM", value_parser = room, allow_hyphen_values = true, conflicts_with_all = ["to", "except"], help_heading = "What")]
    close_room: Vec<String>,
    /// Disconnect the sockets from the namespace.
    #[arg(long, help_heading = "What")]
    disconnect: bool,
    /// With --disconnect: close the whole connections.
    #[arg(long, requires = "disconnect", help_heading = "What")]
    close: bool,

    /// Stop at the first line that is wrong or lost. Otherwise it is reported and counted.
    #[arg(long, help_heading = "Output")]
    strict: bool,
    /// Say nothing but what is wrong.
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
    /// Write what became of each event to standard output, a JSON object a line.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// A room, or the id of a socket, which may begin with a hyphen.
fn room(text: &str) -> Result<String, String> {
    use clap::CommandFactory;
    if text.is_empty() {
        return Err("a room's name is empty; is a variable of the shell not set?".to_owned());
    }
    let option = text.strip_prefix("--").unwrap_or_default();
    if Cli::command().get_arguments().any(|argument| argument.get_long() == Some(option)) {
        return Err(format!("a room's name is missing before {text}"));
    }
    Ok(text.to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && seconds <= 86_400.0 => Ok(duration),
        _ => Err("must be more than 0 and at most a day".to_owned()),
    }
}

/// What the command line asks for.
pub(crate) struct Plan {
    pub(crate) emitter: Builder,
    pub(crate) bus: String,
    pub(crate) work: Work,
    pub(crate) timeout: Duration,
    pub(crate) strict: bool,
    pub(crate) quiet: bool,
    pub(crate) json: bool,
}

pub(crate) enum Work {
    One(Targets, Operation),
    /// Events come from standard input; these are the targets of those that name none.
    Bulk(Targets),
}

/// Who is meant.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) namespace: String,
    /// `None`: everyone.
    pub(crate) to: Option<Vec<String>>,
    pub(crate) except: Vec<String>,
    pub(crate) volatile: bool,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Operation {
    Emit { event: String, args: Args },
    Server { event: String, args: Args },
    Join(Vec<String>),
    Leave(Vec<String>),
    CloseRoom(Vec<String>),
    Disconnect { close: bool },
}

impl Cli {
    /// Checks what clap cannot, and reads files.
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        if self.bus.starts_with("memory:") {
            return Err(Failure::Usage(
                "memory:// is a bus inside of one process; name the broker that the nodes use with --bus"
                    .to_owned(),
            ));
        }
        // Giving up is decided here, by progress; the queue itself waits longer than that.
        let (timeout, patience) = (self.timeout, self.timeout + Duration::from_secs(3600));
        let emitter = Emitter::builder()
            .channel(&self.channel)
            .dialect(self.dialect)
            .wait(timeout)
            .spool_age(patience)
            .close_timeout(Duration::from_millis(100))
            .configure(|config| {
                config.connect_timeout = config.connect_timeout.min(timeout);
                config.send_timeout = config.send_timeout.min(timeout);
            });
        let (bus, strict, quiet, json) = (self.bus.clone(), self.strict, self.quiet, self.json);
        Ok(Plan { emitter, bus, work: self.work()?, timeout, strict, quiet, json })
    }

    fn work(self) -> Result<Work, Failure> {
        let anyone = self.to.is_empty() && self.except.is_empty();
        let targets = Targets {
            namespace: self.namespace,
            to: (!self.to.is_empty()).then_some(self.to),
            except: self.except,
            volatile: self.volatile,
        };
        let operation = if let Some(event) = self.event {
            let args = arguments::read(&self.args, self.text, &self.binary).map_err(Failure::Usage)?;
            if self.server { Operation::Server { event, args } } else { Operation::Emit { event, args } }
        } else if !self.close_room.is_empty() {
            Operation::CloseRoom(self.close_room)
        } else if !self.join.is_empty() {
            Operation::Join(self.join)
        } else if !self.leave.is_empty() {
            Operation::Leave(self.leave)
        } else if self.disconnect {
            Operation::Disconnect { close: self.close }
        } else {
            return Ok(Work::Bulk(targets));
        };
        if operation.needs_targets() && anyone && !self.everyone {
            let text = "this would mean everyone in the namespace; name targets with --to, or say --everyone";
            return Err(Failure::Usage(text.to_owned()));
        }
        Ok(Work::One(targets, operation))
    }
}

impl Targets {
    pub(crate) fn select(&self, emitter: &Emitter) -> Selected {
        let emitter = emitter.of(self.namespace.as_str());
        let mut sockets = emitter.except(&self.except);
        if let Some(rooms) = &self.to {
            sockets = sockets.to(rooms);
        }
        if self.volatile {
            sockets = sockets.volatile();
        }
        Selected { emitter, sockets }
    }
}

/// The namespace and, of that, the sockets.
#[derive(Clone)]
pub(crate) struct Selected {
    emitter: Emitter,
    pub(crate) sockets: Broadcast,
}

impl Operation {
    fn needs_targets(&self) -> bool {
        matches!(self, Self::Join(_) | Self::Leave(_) | Self::Disconnect { .. })
    }

    pub(crate) fn perform(&self, selected: &Selected) -> Receipt {
        let Selected { emitter, sockets } = selected;
        match self {
            Self::Emit { event, args } => sockets.emit(event, args),
            Self::Server { event, args } => emitter.server_emit(event, args),
            Self::Join(rooms) => sockets.join(rooms),
            Self::Leave(rooms) => sockets.leave(rooms),
            Self::CloseRoom(rooms) => emitter.close_room(rooms),
            Self::Disconnect { close } => sockets.disconnect(*close),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Emit { .. } => "emit",
            Self::Server { .. } => "server_emit",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::CloseRoom(_) => "close_room",
            Self::Disconnect { .. } => "disconnect",
        }
    }

    pub(crate) fn event(&self) -> Option<&str> {
        match self {
            Self::Emit { event, .. } | Self::Server { event, .. } => Some(event),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn usage(arguments: &[&str]) -> String {
        let cli = Cli::try_parse_from([&["sockeye-emit"], arguments].concat());
        match cli.map_err(|error| error.to_string()).and_then(|cli| match cli.plan() {
            Ok(plan) => Ok(plan),
            Err(Failure::Usage(text)) => Err(text),
            Err(other) => panic!("{other:?}"),
        }) {
            Err(text) => text,
            Ok(_) => panic!("{arguments:?} is wrong"),
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (arguments, word) in [
            (&["ev", "--join", "r"][..], "cannot be used with"),
            (&["--join", "r", "--disconnect"], "cannot be used with"),
            (&["--join", "r"], "--everyone"),
            (&["--disconnect"], "--everyone"),
            (&["--close-room", "r", "--to", "x"], "cannot be used with"),
            (&["--close"], "--disconnect"),
            (&["--text"], "<EVENT>"),
            (&["ev", "--to", ""], "not set?"),
            (&["ev", "--to", "--volatile"], "missing before --volatile"),
            (&["ev", "--server", "--to", "x"], "cannot be used with"),
            (&["ev", "--timeout", "0"], "more than 0"),
            (&["ev", "--timeout", "soon"], "number of seconds"),
            (&["ev", "--dialect", "klingon"], "native and python"),
            (&["ev", "--bus", "memory://x"], "one process"),
            (&["ev", "hello"], r#"'"hello"'"#),
            (&["ev", "@/nowhere/x"], "/nowhere/x"),
        ] {
            let text = usage(arguments);
            assert!(text.contains(word), "{arguments:?}: {text}");
        }
    }

    #[test]
    fn socket_ids_may_begin_with_a_hyphen() {
        let arguments = ["sockeye-emit", "-t", "-a", "--to", "--b", "-x", "-t", "ev"];
        let Work::One(targets, _) =
            Cli::try_parse_from(arguments).expect("right").plan().expect("right").work
        else {
            panic!("an event")
        };
        assert_eq!(targets.to, Some(vec!["-a".to_owned(), "--b".to_owned()]));
        assert_eq!(targets.except, ["-t"]);
    }

    #[test]
    fn negative_numbers_are_arguments() {
        let plan = Cli::try_parse_from(["sockeye-emit", "ev", "-5", "-1.5e3"])
            .expect("right")
            .plan()
            .expect("right");
        let Work::One(_, Operation::Emit { args, .. }) = plan.work else { panic!("an event") };
        assert_eq!(args.json(), "[-5,-1.5e3]");
    }
}

//! From options to settings that can be used, with everything that is wrong said at once.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sockeye::{Cors, Limits, LimitsMode, OutboxLimits, Parsers, SlowPolicy, TransportKind};
use tracing_subscriber::EnvFilter;

use super::{
    cli::Cli,
    http::HttpSettings,
    log::{Format, Log},
};

/// The least that a secret may have, in bytes; the library's own bound.
const SHORTEST_SECRET: usize = 16;
/// The least that makes sense for a timeout of the protocol; the library's own bound.
const SHORTEST_DURATION: Duration = Duration::from_millis(10);

/// Checked settings.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) bus: Bus,
    pub(crate) bridge_python: bool,
    pub(crate) secrets: Secrets,
    pub(crate) node_name: Option<String>,
    pub(crate) cors: Cors,
    pub(crate) allow_join: bool,
    pub(crate) demo: bool,
    /// Each URL with its file or folder.
    pub(crate) static_files: Vec<(String, PathBuf)>,
    pub(crate) path: String,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) upgrade_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) limits_mode: LimitsMode,
    pub(crate) outbox: OutboxLimits,
    pub(crate) transports: Vec<TransportKind>,
    pub(crate) parser: Parsers,
    pub(crate) upgrades: bool,
    pub(crate) eio3: bool,
    pub(crate) http: HttpSettings,
    pub(crate) require_bus: bool,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) log: Log,
}

/// Which bus. The URL may hold a password and is never shown.
pub(crate) struct Bus {
    pub(crate) url: String,
    pub(crate) channel: String,
    /// The same for people, without secrets.
    pub(crate) shown: String,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Secrets, never shown.
pub(crate) struct Secrets(pub(crate) Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// Everything that is wrong with the options.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: the node cannot run with these options:")?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        f.write_str("\n\nFor more information, try '--help'.")
    }
}

impl Problems {
    pub(super) fn note(&mut self, option: &str, problem: impl fmt::Display) {
        self.0.push(format!("{option}: {problem}"));
    }

    /// The value if it is right; otherwise its problem is noted, and what is returned in its place does not matter.
    pub(super) fn take<T>(&mut self, option: &str, read: Result<T, String>, otherwise: T) -> T {
        read.unwrap_or_else(|problem| {
            self.note(option, problem);
            otherwise
        })
    }
}

impl Config {
    /// Checks what the options say; `read_file` gives the text of a file.
    ///
    /// # Errors
    /// All problems, each with the option and what would be right.
    pub(crate) fn new(cli: Cli, read_file: &dyn Fn(&Path) -> io::Result<String>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let p = &mut problems;
        let Cli { addresses, cluster, clients, engine, http, limits, operation } = cli;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = p.take("--listen", address(&addresses.listen), nowhere);
        let admin_listen =
            filled(addresses.admin_listen).map(|text| p.take("--admin-listen", address(&text), nowhere));
        if admin_listen == Some(listen) && listen.port() != 0 {
            p.note("--admin-listen", "is the same address as --listen; leave it out to serve both there");
        }
        let bus = p.take("--bus", bus(cluster.bus, cluster.channel.clone()), Bus::nowhere());
        if cluster.channel.is_empty() {
            p.note("--channel", "must not be empty");
        }
        let mut secrets: Vec<String> =
            cluster.secret.into_iter().filter(|secret| !secret.is_empty()).collect();
        if let Some(path) = cluster.secret_file.filter(|path| !path.as_os_str().is_empty()) {
            match read_file(&path) {
                Ok(text) => {
                    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                    let before = secrets.len();
                    secrets.extend(lines.map(str::to_owned));
                    if secrets.len() == before {
                        p.note("--secret-file", format!("{} has no secret in it", path.display()));
                    }
                }
                Err(error) => p.note("--secret-file", format!("{} cannot be read: {error}", path.display())),
            }
        }
        for length in secrets.iter().map(String::len).filter(|length| *length < SHORTEST_SECRET) {
            p.note("--secret", format!("one of {length} bytes can be guessed; take {SHORTEST_SECRET} or more, as from `openssl rand -hex 32`"));
        }
        let parser = p.take("--parser", parser(&engine.parser), Parsers::Json);
        let json = matches!(parser, Parsers::Json);
        let demo = match filled(clients.demo) {
            _ if clients.no_demo => false,
            Some(text) => p.take("--demo", boolean(&text), false),
            None => json && listen.ip().to_canonical().is_loopback(),
        };
        if demo && !json {
            p.note("--demo", "speaks json only; leave it out, or --parser");
        }
        let config = Self {
            listen,
            admin_listen,
            bus,
            bridge_python: p.take("--bridge", bridge(&cluster.bridge), false),
            secrets: Secrets(secrets),
            node_name: filled(cluster.node_name),
            cors: p.take("--cors", cors(&clients.cors), Cors::same_origin()),
            allow_join: clients.allow_join,
            demo,
            static_files: p.take("--static", static_files(&clients.static_files), Vec::new()),
            path: p.take("--path", path(&engine.path), String::new()),
            ping_interval: p.take("--ping-interval", timeout(&engine.ping_interval), Duration::ZERO),
            ping_timeout: p.take("--ping-timeout", timeout(&engine.ping_timeout), Duration::ZERO),
            connect_timeout: p.take("--connect-timeout", timeout(&engine.connect_timeout), Duration::ZERO),
            upgrade_timeout: p.take("--upgrade-timeout", timeout(&engine.upgrade_timeout), Duration::ZERO),
            limits: Limits {
                max_payload: p.take("--max-payload", bytes(&engine.max_payload), 0),
                max_attachments: p.take("--max-attachments", number(&limits.max_attachments), 0),
                max_json_depth: p.take("--max-json-depth", positive(&limits.max_json_depth), 0),
                max_json_values: p.take("--max-json-values", positive(&limits.max_json_values), 0),
                max_namespaces: p.take("--max-namespaces", positive(&limits.max_namespaces), 0),
                max_rooms: p.take("--max-rooms", number(&limits.max_rooms), 0),
                max_pending_acks: p.take("--max-pending-acks", number(&limits.max_pending_acks), 0),
                events_per_second: p.take("--event-rate", number(&limits.event_rate), 0),
                event_burst: p.take("--event-burst", positive(&limits.event_burst), 0),
                ..Limits::default()
            },
            limits_mode: p.take("--limits-mode", limits_mode(&limits.limits_mode), LimitsMode::Enforce),
            outbox: OutboxLimits {
                policy: p.take("--slow-policy", slow_policy(&limits.slow_policy), SlowPolicy::default()),
                ..p.take("--max-queue", outbox(&limits.max_queue), OutboxLimits::default())
            },
            transports: p.take("--transports", transports(&engine.transports), Vec::new()),
            parser,
            upgrades: !engine.no_upgrades,
            eio3: engine.eio3,
            http: HttpSettings::new(http, p),
            require_bus: operation.require_bus,
            shutdown_timeout: p.take(
                "--shutdown-timeout",
                duration(&operation.shutdown_timeout),
                Duration::ZERO,
            ),
            log: Log {
                filter: {
                    let mut filter = p.take("--log-level", filter(&operation.log_level), String::new());
                    for (on, layer) in
                        [(operation.log_socketio, "socketio"), (operation.log_engineio, "engineio")]
                    {
                        if on {
                            filter.push_str(&format!(",sockeye::{layer}=trace"));
                        }
                    }
                    filter
                },
                format: p.take("--log-format", log_format(&operation.log_format), Format::Text),
            },
        };
        if problems.0.is_empty() { Ok(config) } else { Err(problems) }
    }
}

impl Bus {
    fn nowhere() -> Self {
        Self { url: String::new(), channel: String::new(), shown: String::new() }
    }
}

/// An empty variable is as good as none.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!("`{text}` is no address; write IP:PORT, as in 127.0.0.1:3000, 0.0.0.0:3000 or [::]:3000")
    })
}

fn bus(url: String, channel: String) -> Result<Bus, String> {
    let driver = sockeye_bus::driver(&url, &channel).map_err(|error| error.to_string())?;
    // One in the URL wins: the bus sees to that, but whoever reads the log should see the one that counts.
    let named = url
        .split_once('?')
        .and_then(|(_, query)| query.split('&').find_map(|pair| pair.strip_prefix("channel=")));
    let channel = named.map_or(channel, str::to_owned);
    Ok(Bus { url, channel, shown: driver.describe() })
}

fn bridge(kinds: &[String]) -> Result<bool, String> {
    let mut python = false;
    for kind in kinds.iter().filter(|kind| !kind.is_empty()) {
        match kind.as_str() {
            "python" => python = true,
            other => return Err(format!("`{other}` is no kind of node that is known; python is")),
        }
    }
    Ok(python)
}

fn cors(origins: &[String]) -> Result<Cors, String> {
    let origins: Vec<&str> =
        origins.iter().map(|origin| origin.trim()).filter(|origin| !origin.is_empty()).collect();
    if origins.contains(&"*") {
        return match origins.len() {
            1 => Ok(Cors::any()),
            _ => Err("* allows every origin already; leave out the others, or the *".into()),
        };
    }
    for origin in &origins {
        let host = origin.split_once("://").map(|(_, host)| host.trim_end_matches('/'));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?', ' '])) {
            return Err(format!(
                "`{origin}` is no origin; write scheme, host and, if need be, port, as in https://app.example.com; or * for any"
            ));
        }
    }
    if origins.is_empty() {
        return Ok(Cors::same_origin());
    }
    Ok(Cors::origins(origins))
}

/// Slashes at both ends are added where they are missing.
fn path(text: &str) -> Result<String, String> {
    let inner = text.trim_matches('/');
    if inner.is_empty() || !inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte))
    {
        return Err(format!("`{text}` is no path; write one of letters, digits and /._~- as in /socket.io/"));
    }
    if ["healthz", "readyz", "metrics"].contains(&inner) {
        return Err(format!("/{inner} is an endpoint of the node itself"));
    }
    Ok(format!("/{inner}/"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write a number and a unit, as in 500ms, 25s or 2m");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number = u64::from_str(&text[..digits]).map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    // A year is more than anyone means, and less than what a clock cannot add.
    let longest = 365 * 24 * 3_600_000;
    match number.checked_mul(unit) {
        Some(millis) if millis <= longest => Ok(Duration::from_millis(millis)),
        _ => Err(format!("{text} is more than a year")),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < SHORTEST_DURATION {
        return Err(format!("{text} is too short; {SHORTEST_DURATION:?} is the least"));
    }
    Ok(duration)
}

fn bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is no number of bytes; write one as in 1000000")),
        Ok(bytes) => Ok(bytes),
    }
}

pub(super) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number; write one as in 1000"))
}

fn positive<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    match number(text)? {
        zero if zero == T::default() => Err("must be at least 1".into()),
        number => Ok(number),
    }
}

fn limits_mode(text: &str) -> Result<LimitsMode, String> {
    match text {
        "enforce" => Ok(LimitsMode::Enforce),
        "warn" => Ok(LimitsMode::Warn),
        other => Err(format!("`{other}` is no mode; enforce and warn are")),
    }
}

/// The bytes at which a client is disconnected; those from which on volatile events are dropped follow where they have to.
fn outbox(text: &str) -> Result<OutboxLimits, String> {
    let (hard_bytes, limits) = (bytes(text)?, OutboxLimits::default());
    Ok(OutboxLimits { hard_bytes, soft_bytes: limits.soft_bytes.min(hard_bytes), ..limits })
}

fn slow_policy(text: &str) -> Result<SlowPolicy, String> {
    match text {
        "drop-volatile" => Ok(SlowPolicy::DropVolatile),
        "drop-events" => Ok(SlowPolicy::DropEvents),
        "close" => Ok(SlowPolicy::Close),
        other => Err(format!("`{other}` is no policy; drop-volatile, drop-events and close are")),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn transports(names: &[String]) -> Result<Vec<TransportKind>, String> {
    let mut transports = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let kind = match name {
            "polling" => TransportKind::Polling,
            "websocket" => TransportKind::WebSocket,
            other => return Err(format!("`{other}` is no transport; polling and websocket are")),
        };
        if !transports.contains(&kind) {
            transports.push(kind);
        }
    }
    if transports.is_empty() {
        return Err("there is none; name polling, websocket or both".into());
    }
    Ok(transports)
}

fn parser(text: &str) -> Result<Parsers, String> {
    match text {
        "json" => Ok(Parsers::Json),
        "msgpack" => Ok(Parsers::MsgPack),
        other => Err(format!("`{other}` is no format; json and msgpack are")),
    }
}

fn filter(text: &str) -> Result<String, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let level = |text: &str| levels.contains(&text.to_ascii_lowercase().as_str());
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    // The filter itself would take a word that is no level for the name of a part of the program, and be silent.
    let known = parts.iter().all(|part| level(part.rsplit_once('=').map_or(*part, |(_, level)| level)));
    let parts = parts.join(",");
    if !known || EnvFilter::try_new(&parts).is_err() {
        return Err(format!(
            "`{text}` is no filter; write {}, or PART=LEVEL for parts, as in info,sockeye_bus=debug",
            levels.join(", ")
        ));
    }
    Ok(parts)
}

fn static_files(texts: &[String]) -> Result<Vec<(String, PathBuf)>, String> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((url, path)) if url.starts_with('/') && !path.is_empty() => {
                Ok((url.to_owned(), path.into()))
            }
            _ => Err(format!("`{text}` names no file for a URL; write it as in /assets=public/assets")),
        })
        .collect()
}

fn log_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        other => Err(format!("`{other}` is no format; text and json are")),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

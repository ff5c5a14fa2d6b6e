//! From a URL to a driver.

use crate::{
    driver::Driver,
    error::{Error, ErrorKind},
    memory::Memory,
    redis::Redis,
};
use url::Url;

const SUPPORTED: &str = "supported are memory://NAME, redis://HOST:PORT/DB, rediss:// (TLS, ?ca=FILE) and \
                         redis+unix:///PATH?db=N";

/// Makes the driver that a URL names.
///
/// | URL | broker |
/// |---|---|
/// | `memory://NAME` | the hub NAME of this process |
/// | `redis://[USER:PASSWORD@]HOST[:PORT][/DB]` | one Redis server |
/// | `rediss://…` | the same over TLS; trusts what the system trusts, or the PEM file in `?ca=` |
/// | `redis+unix:///PATH?db=N`, `unix:///PATH` | one Redis server on a unix socket; `?username=`, `?password=` |
///
/// `?channel=` in the URL wins over `channel`.
///
/// # Errors
/// The URL is not understood; the text says what was wrong and what would be right. It never repeats credentials.
pub fn driver(url: &str, channel: &str) -> Result<Box<dyn Driver>, Error> {
    let parsed =
        Url::parse(url).map_err(|e| wrong(format!("the bus URL is not a URL ({e}); {SUPPORTED}")))?;
    let given =
        parsed.query_pairs().find(|(key, _)| key == "channel").map(|(_, channel)| channel.into_owned());
    let channel = given.as_deref().unwrap_or(channel);
    let planned = match parsed.scheme() {
        "memory" => return Ok(Box::new(Memory::named(parsed.host_str().unwrap_or_default(), channel))),
        "redis" | "rediss" | "redis+unix" | "unix" => return Ok(Box::new(Redis::new(&parsed, channel)?)),
        "redis-sentinel" | "rediss-sentinel" | "redis+sentinel" => "Redis Sentinel",
        "redis-cluster" | "rediss-cluster" | "redis+cluster" => "Redis Cluster",
        "amqp" | "amqps" => "RabbitMQ",
        "kafka" => "Kafka",
        "nats" => "NATS",
        other => return Err(wrong(format!("there is no bus driver for '{other}:'; {SUPPORTED}"))),
    };
    Err(wrong(format!("this version has no bus driver for {planned} yet; {SUPPORTED}")))
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::Config, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_is_named_with_what_is() {
        for (url, word) in [
            ("nonsense", "not a URL"),
            ("carrier-pigeon://x", "'carrier-pigeon:'"),
            ("amqp://u:secret@h", "RabbitMQ yet"),
            ("kafka://h", "Kafka yet"),
            ("nats://h", "NATS yet"),
            ("redis-sentinel://u:secret@h", "Sentinel yet"),
            ("redis-cluster://h", "Cluster yet"),
        ] {
            let text = driver(url, "socketio").expect_err(url).to_string();
            assert!(text.contains(word) && text.contains(SUPPORTED), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        for url in ["memory://", "memory://x?channel=y", "redis://h", "redis+unix:///x"] {
            driver(url, "socketio").expect(url);
        }
    }
}

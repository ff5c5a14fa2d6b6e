//! From a URL to a driver.

use crate::{
    driver::Driver,
    error::{Error, ErrorKind},
    memory::Memory,
};
use url::Url;

/// Makes the driver that a URL names.
///
/// | URL | broker |
/// |---|---|
/// | `memory://NAME` | the hub NAME of this process |
///
/// `?channel=` in the URL wins over `channel`.
///
/// # Errors
/// The URL is not understood; the text says what was wrong and what would be right. It never repeats credentials.
pub fn driver(url: &str, channel: &str) -> Result<Box<dyn Driver>, Error> {
    let parsed = Url::parse(url).map_err(|e| {
        config(format!("the bus URL is not a URL ({e}); examples: memory://name, redis://127.0.0.1:6379"))
    })?;
    let channel = match parsed.query_pairs().find(|(key, _)| key == "channel") {
        Some((_, channel)) => channel.into_owned(),
        None => channel.to_owned(),
    };
    match parsed.scheme() {
        "memory" => Ok(Box::new(Memory::named(parsed.host_str().unwrap_or_default(), &channel))),
        scheme => Err(config(format!("no bus driver for '{scheme}://'; supported: memory://NAME"))),
    }
}

fn config(text: String) -> Error {
    Error::new(ErrorKind::Config, text)
}

//! From a `redis:` URL to a client configuration.

use crate::error::{Error, ErrorKind};
use fred::types::config::{Config, Server, ServerConfig, TlsConfig};
use percent_encoding::percent_decode_str;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::PathBuf, sync::Arc};
use url::Url;

const DEFAULT_PORT: u16 = 6379;

/// Where a Redis is and how to be let in.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) config: Config,
    /// The URL without credentials and parameters.
    pub(super) name: String,
}

impl Target {
    /// Understands `redis://`, `rediss://` (TLS), `redis+unix://` and `unix://`.
    ///
    /// # Errors
    /// Something in the URL is wrong; the text says what and never repeats credentials.
    pub(super) fn parse(url: &Url) -> Result<Self, Error> {
        let parameters = Parameters::parse(url)?;
        let unix = matches!(url.scheme(), "redis+unix" | "unix");
        let tls = url.scheme() == "rediss";
        if parameters.ca.is_some() && !tls {
            return Err(wrong("ca= names the authority of a TLS server, so the scheme has to be rediss://"));
        }
        let username = decoded(url.username())?.or(parameters.username);
        let password = match url.password() {
            Some(password) => decoded(password)?,
            None => parameters.password,
        };
        let (server, database) = if unix {
            (ServerConfig::Unix { path: socket(url)? }, parameters.database)
        } else {
            let database = database(url.path().trim_start_matches('/'))?;
            if database.is_some() && parameters.database.is_some() {
                return Err(wrong("the database is given twice, in the path and as db="));
            }
            (ServerConfig::Centralized { server: server(url)? }, database.or(parameters.database))
        };
        let place = match &server {
            ServerConfig::Unix { path } => path.display().to_string(),
            _ => {
                let host = url.host_str().unwrap_or_default();
                format!("{host}:{}", url.port().unwrap_or(DEFAULT_PORT))
            }
        };
        let name = match database {
            Some(database) => format!("{}://{place}/{database}", url.scheme()),
            None => format!("{}://{place}", url.scheme()),
        };
        let tls = if tls { Some(TlsConfig::from(trust(parameters.ca)?)) } else { None };
        let config =
            Config { server, username, password, database, tls, fail_fast: true, ..Config::default() };
        Ok(Self { config, name })
    }
}

/// What may follow the `?`.
#[derive(Default)]
struct Parameters {
    ca: Option<PathBuf>,
    database: Option<u8>,
    username: Option<String>,
    password: Option<String>,
}

impl Parameters {
    fn parse(url: &Url) -> Result<Self, Error> {
        let mut parameters = Self::default();
        for (key, value) in url.query_pairs() {
            match &*key {
                "ca" => parameters.ca = Some(PathBuf::from(&*value)),
                "db" => parameters.database = database(&value)?,
                "username" => parameters.username = Some(value.into_owned()),
                "password" => parameters.password = Some(value.into_owned()),
                // Read elsewhere: by the caller of this, and by the emitter.
                "channel" | "dialect" => {}
                other => {
                    return Err(wrong(format!(
                        "unknown parameter '{other}'; known: channel, db, ca, username, password"
                    )));
                }
            }
        }
        Ok(parameters)
    }
}

fn decoded(text: &str) -> Result<Option<String>, Error> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| wrong("the user name or password is not UTF-8 after percent-decoding"))?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

fn database(text: &str) -> Result<Option<u8>, Error> {
    match text {
        "" => Ok(None),
        text => {
            text.parse().map(Some).map_err(|_| wrong(format!("'{text}' is not a database number (0 to 255)")))
        }
    }
}

fn server(url: &Url) -> Result<Server, Error> {
    let host = url.host_str().filter(|h| !h.is_empty());
    let host = host.ok_or_else(|| wrong("there is no host; example: redis://127.0.0.1:6379"))?;
    // An IPv6 address is in brackets in a URL and without them everywhere else.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Server::new(host, url.port().unwrap_or(DEFAULT_PORT)))
}

fn socket(url: &Url) -> Result<PathBuf, Error> {
    let example = "example: redis+unix:///run/redis/redis.sock?db=0";
    if url.host_str().is_some_and(|h| !h.is_empty() && h != "localhost") {
        return Err(wrong(format!("the path of a unix socket follows three slashes; {example}")));
    }
    match decoded(url.path())? {
        Some(path) if path != "/" => Ok(PathBuf::from(path)),
        _ => Err(wrong(format!("there is no path to a unix socket; {example}"))),
    }
}

/// Trusts the given authority, or what the system trusts.
fn trust(ca: Option<PathBuf>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let file = || wrong(format!("cannot use the authority in {}", path.display()));
        let because = |e: &dyn std::fmt::Display| wrong(format!("{}: {e}", file()));
        for certificate in CertificateDer::pem_file_iter(&path).map_err(|e| because(&e))? {
            roots.add(certificate.map_err(|e| because(&e))?).map_err(|e| because(&e))?;
        }
        if roots.is_empty() {
            return Err(because(&"there is no PEM certificate in it"));
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(wrong("the system has no trusted authorities; name one with ?ca=FILE"));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(format!("TLS cannot be set up: {e}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, format!("the Redis URL is wrong: {}", text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Target, Error> {
        Target::parse(&Url::parse(url).expect("a URL"))
    }

    #[test]
    fn every_part_of_a_url_is_understood() {
        let plain = parse("redis://10.0.0.1").expect("right");
        assert_eq!(plain.name, "redis://10.0.0.1:6379");
        assert_eq!(plain.config.server, ServerConfig::Centralized { server: Server::new("10.0.0.1", 6379) });
        let full = parse("redis://user:p%40ss@[::1]:7000/3?channel=x&dialect=python").expect("right");
        assert_eq!(full.config.server, ServerConfig::Centralized { server: Server::new("::1", 7000) });
        assert_eq!(full.config.username.as_deref(), Some("user"));
        assert_eq!(full.config.password.as_deref(), Some("p@ss"));
        assert_eq!(full.config.database, Some(3));
        assert_eq!(full.name, "redis://[::1]:7000/3", "no credentials in the name");
        let password_only = parse("redis://:secret@h").expect("right");
        assert_eq!(password_only.config.username, None);
        assert_eq!(password_only.config.password.as_deref(), Some("secret"));
        for scheme in ["redis+unix", "unix"] {
            let unix = parse(&format!("{scheme}:///run/a%20b.sock?db=2&password=x")).expect("right");
            assert_eq!(unix.config.server, ServerConfig::Unix { path: "/run/a b.sock".into() });
            assert_eq!(unix.config.database, Some(2));
            assert_eq!(unix.config.password.as_deref(), Some("x"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_secrets_are_not() {
        for (url, word) in [
            ("redis://", "no host"),
            ("redis://h/one", "database number"),
            ("redis://h/256", "database number"),
            ("redis://h/1?db=2", "twice"),
            ("redis://u:secret@h?chanel=x", "unknown parameter 'chanel'"),
            ("redis://u:secret@h?ca=/etc/ca.pem", "rediss://"),
            ("rediss://u:secret@h?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
            ("rediss://u:secret@h?ca=/etc/hostname", "PEM"),
            ("redis+unix://", "no path"),
            ("redis+unix://run/redis.sock", "three slashes"),
        ] {
            let text = parse(url).expect_err(url).to_string();
            assert!(text.contains(word), "{url}: {text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}

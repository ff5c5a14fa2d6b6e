//! Which web pages may talk to the server.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};

use super::{head::RequestHead, proxies::TrustedProxies};

type Predicate = Arc<dyn Fn(&str, &RequestHead<'_>) -> bool + Send + Sync>;

/// Which origins (scheme, host and port of a web page) may connect.
///
/// The page of an origin that may not is refused with 400, on HTTP requests and on the WebSocket handshake, which browsers do not
/// protect by themselves. A request without an `Origin` header comes from no web page and is always allowed, and so is the server's own
/// origin: the scheme, host and port that the client used, as the `Host` header or [trusted proxies](TrustedProxies) name them.
///
/// ```
/// use std::time::Duration;
/// use sockeye::{Cors, Server};
///
/// let cors = Cors::origins(["https://app.example.com", "https://staging.example.com:8443"])
///     .expose_headers(["x-request-id"])
///     .max_age(Duration::from_secs(3600));
/// let builder = Server::builder().cors(cors);
/// // Every tenant has a host of its own.
/// let tenants = Cors::predicate(|origin, _| origin.starts_with("https://") && origin.ends_with(".tenants.example.com"));
/// ```
#[derive(Clone)]
pub struct Cors {
    allowed: Allowed,
    credentials: bool,
    exposed: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    max_age: Duration,
    problems: Vec<String>,
}

#[derive(Clone)]
enum Allowed {
    Own,
    Listed(Vec<Site>),
    Any,
    Predicate(Predicate),
    /// Not ours to check.
    Unchecked,
}

/// What was found out about a request's origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// There is none, or nobody cares.
    Silent,
    /// It may connect, and the browser has to be told.
    Allowed(HeaderValue),
    Refused,
}

impl Default for Cors {
    fn default() -> Self {
        Self::same_origin()
    }
}

impl Cors {
    fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            credentials: true,
            exposed: None,
            headers: None,
            max_age: Duration::from_secs(600),
            problems: Vec::new(),
        }
    }

    /// Only the server's own origin; the default.
    pub fn same_origin() -> Self {
        Self::new(Allowed::Own)
    }

    /// The server's own and these, each a scheme and a host, and a port where it is not the scheme's own: `https://app.example.com`,
    /// `http://localhost:5173`, `capacitor://localhost`; `null` for pages of files and sandboxes. Compared as wholes: a longer name that begins or
    /// ends the same is another origin. Names with other than ASCII letters are written as browsers send them (`xn--…`).
    pub fn origins<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Self {
        let (mut sites, mut problems) = (Vec::new(), Vec::new());
        for origin in origins {
            let origin = origin.as_ref().trim();
            match Site::parse(origin.strip_suffix('/').unwrap_or(origin)) {
                Some(site) => sites.push(site.owned()),
                None => problems.push(format!(
                    "cors: {origin:?} is no origin; write scheme, host and, if need be, port, as in \"https://app.example.com\""
                )),
            }
        }
        Self { problems, ..Self::new(Allowed::Listed(sites)) }
    }

    /// Every origin: right for public data, dangerous for applications that log in by cookie, unless
    /// [`credentials(false)`](Self::credentials) is said, too.
    pub fn any() -> Self {
        Self::new(Allowed::Any)
    }

    /// The server's own, and those for which the function says true. It gets the origin as the browser sent it and the request that it came
    /// with. It is asked on every request of a page: it should not take long.
    pub fn predicate(allowed: impl Fn(&str, &RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Allowed::Predicate(Arc::new(allowed)))
    }

    /// No check and no headers: the application, or something in front of the server, does it. **WebSocket handshakes of foreign
    /// pages then have to be refused there, too.**
    pub fn off() -> Self {
        Self::new(Allowed::Unchecked)
    }

    /// Whether pages of other origins may send cookies and logins along; true if not said. (Browsers only obey for HTTP; a WebSocket
    /// handshake always carries cookies.)
    #[must_use]
    pub fn credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// Response headers that pages of other origins may read; none if not said.
    #[must_use]
    pub fn expose_headers<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.exposed = self.list("expose_headers", names);
        self
    }

    /// Request headers that pages of other origins may send; those that they ask for if not said.
    #[must_use]
    pub fn allow_headers<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.headers = self.list("allow_headers", names);
        self
    }

    /// How long a browser may remember the answer to a preflight request; 10 minutes if not said.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// What is wrong with these settings, one sentence each; empty if nothing is.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn list<S: AsRef<str>>(&mut self, what: &str, names: impl IntoIterator<Item = S>) -> Option<HeaderValue> {
        let mut list = String::new();
        for name in names {
            let name = name.as_ref().trim();
            if http::HeaderName::try_from(name).is_err() {
                self.problems.push(format!("cors: {what}: {name:?} is no name of a header"));
                continue;
            }
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(name);
        }
        HeaderValue::try_from(list).ok()
    }

    /// Checks the page that a request comes from.
    pub(crate) fn check(&self, head: &RequestHead<'_>, proxies: Option<&TrustedProxies>) -> Origin {
        let mut origins = head.headers().get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Origin::Silent };
        if matches!(self.allowed, Allowed::Unchecked) {
            return Origin::Silent;
        }
        let Ok(text) = origin.to_str() else { return Origin::Refused };
        if origins.next().is_some() {
            return Origin::Refused;
        }
        if self.allows(text, head, proxies) { Origin::Allowed(origin.clone()) } else { Origin::Refused }
    }

    fn allows(&self, origin: &str, head: &RequestHead<'_>, proxies: Option<&TrustedProxies>) -> bool {
        let listed = match &self.allowed {
            Allowed::Any => !origin.is_empty(),
            Allowed::Listed(sites) => {
                Site::parse(origin).is_some_and(|site| sites.iter().any(|listed| site.is(&listed.borrowed())))
            }
            Allowed::Predicate(allows) => allows(origin, head),
            Allowed::Own | Allowed::Unchecked => false,
        };
        listed || is_own(head, origin, proxies.is_none())
    }

    /// Checks the page that asks for a script (JSONP). Browsers let every page do that, with cookies and without an
    /// `Origin` header; they say where they come from in `Referer`, and newer ones in `Sec-Fetch-Site` that it is elsewhere.
    pub(crate) fn allows_script(&self, head: &RequestHead<'_>, proxies: Option<&TrustedProxies>) -> bool {
        let headers = head.headers();
        if matches!(self.allowed, Allowed::Any | Allowed::Unchecked) || headers.contains_key(header::ORIGIN) {
            return true;
        }
        let page = headers.get(header::REFERER).and_then(|page| page.to_str().ok()).and_then(|page| {
            let host = page.find("://")? + 3;
            let end = page[host..].find(['/', '?', '#']).map_or(page.len(), |at| host + at);
            page.get(..end)
        });
        match page {
            Some(origin) => self.allows(origin, head, proxies),
            None => !headers
                .get("sec-fetch-site")
                .is_some_and(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site")),
        }
    }

    /// Adds what the browser wants to see to a response.
    pub(crate) fn apply(&self, origin: &Origin, headers: &mut HeaderMap) {
        let Origin::Allowed(origin) = origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = &self.exposed {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }

    /// Adds the answer to a preflight request.
    pub(crate) fn apply_preflight(&self, origin: &Origin, request: &HeaderMap, headers: &mut HeaderMap) {
        self.apply(origin, headers);
        let Origin::Allowed(_) = origin else { return };
        headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age.as_secs()));
        let wanted = self.headers.as_ref().or(request.get(header::ACCESS_CONTROL_REQUEST_HEADERS));
        if let Some(wanted) = wanted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            headers.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
        }
    }
}

/// The methods that the server answers.
pub(crate) const METHODS: &str = "GET, POST, OPTIONS";

impl PartialEq for Cors {
    /// Two predicates are the same if they are the same function of the same call.
    fn eq(&self, other: &Self) -> bool {
        let allowed = match (&self.allowed, &other.allowed) {
            (Allowed::Own, Allowed::Own)
            | (Allowed::Any, Allowed::Any)
            | (Allowed::Unchecked, Allowed::Unchecked) => true,
            (Allowed::Listed(one), Allowed::Listed(two)) => one == two,
            (Allowed::Predicate(one), Allowed::Predicate(two)) => Arc::ptr_eq(one, two),
            _ => false,
        };
        allowed
            && self.credentials == other.credentials
            && self.exposed == other.exposed
            && self.headers == other.headers
            && self.max_age == other.max_age
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cors(")?;
        match &self.allowed {
            Allowed::Own => f.write_str("same origin")?,
            Allowed::Any => f.write_str("any")?,
            Allowed::Predicate(_) => f.write_str("predicate")?,
            Allowed::Unchecked => f.write_str("off")?,
            Allowed::Listed(sites) => {
                for (n, site) in sites.iter().enumerate() {
                    let comma = if n > 0 { ", " } else { "" };
                    write!(f, "{comma}{}://{}", site.scheme, site.host)?;
                    if site.port != default_port(&site.scheme) {
                        write!(f, ":{}", site.port)?;
                    }
                }
            }
        }
        f.write_str(if self.credentials { ")" } else { ", no credentials)" })
    }
}

/// An origin taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Site<S = String> {
    scheme: S,
    host: S,
    /// 0 for schemes whose port nobody knows.
    port: u16,
}

impl<'a> Site<&'a str> {
    /// `scheme://host:port`, nothing behind it; or `null`.
    fn parse(text: &'a str) -> Option<Self> {
        if text == "null" {
            return Some(Self { scheme: text, host: "", port: 0 });
        }
        let (scheme, rest) = text.split_once("://")?;
        let named = !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        named.then_some(())?;
        Self::at(scheme, rest)
    }

    /// With the host and port as a `Host` header has them.
    fn at(scheme: &'a str, host: &'a str) -> Option<Self> {
        let (host, port) = match host.rsplit_once(':') {
            // The last colon may be one within an IPv6 address.
            Some((name, port)) if !port.ends_with(']') => {
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                (name, if digits { port.parse().ok()? } else { return None })
            }
            _ => (host, default_port(scheme)),
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        (!host.is_empty() && host.bytes().all(fits)).then_some(Self { scheme, host, port })
    }

    fn is(&self, other: &Site<&str>) -> bool {
        self.port == other.port
            && self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host.eq_ignore_ascii_case(other.host)
    }

    fn owned(&self) -> Site {
        Site {
            scheme: self.scheme.to_ascii_lowercase(),
            host: self.host.to_ascii_lowercase(),
            port: self.port,
        }
    }
}

impl Site {
    fn borrowed(&self) -> Site<&str> {
        Site { scheme: &self.scheme, host: &self.host, port: self.port }
    }
}

fn default_port(scheme: &str) -> u16 {
    match () {
        () if scheme.eq_ignore_ascii_case("http") => 80,
        () if scheme.eq_ignore_ascii_case("https") => 443,
        () => 0,
    }
}

/// Whether a page is the server's own. With `anyone`, proxies that nobody vouched for are believed, which is safe here: see
/// [`TrustedProxies`].
fn is_own(head: &RequestHead<'_>, origin: &str, anyone: bool) -> bool {
    let Some(origin) = Site::parse(origin) else { return false };
    let scheme = if head.is_secure() { "https" } else { "http" };
    let own = |scheme: &str, host: &str| {
        let host = host.trim();
        Site::at(scheme, host).is_some_and(|own| origin.scheme != "null" && origin.is(&own))
    };
    if head.host().is_some_and(|host| own(scheme, host)) {
        return true;
    }
    if !anyone {
        return false;
    }
    let first = |name| head.header(name).map(|value| value.split(',').next().unwrap_or_default().trim());
    let schemes = [first("x-forwarded-proto"), Some(scheme)];
    let hosts = [first("x-forwarded-host"), head.host()];
    hosts.iter().flatten().any(|host| schemes.iter().flatten().any(|scheme| own(scheme, host)))
}

#[cfg(test)]
#[path = "cors_tests.rs"]
mod tests;

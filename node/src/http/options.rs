//! What can be set about HTTP, and whether it makes sense together.

use super::{addresses::AddressLimits, cookie::Cookie, cors::Cors, hooks::Hooks, proxies::TrustedProxies};

/// The settings of the HTTP side, as the builder collects them.
#[derive(Debug)]
pub(crate) struct HttpOptions {
    pub(crate) cors: Cors,
    /// `None`: nobody said whether there are any.
    pub(crate) proxies: Option<TrustedProxies>,
    pub(crate) proxy_protocol: bool,
    /// `None`: the defaults, once proxies are known.
    pub(crate) addresses: Option<AddressLimits>,
    pub(crate) cookie: Option<Cookie>,
    /// The shortest body of long-polling that is compressed; `None`: none is.
    pub(crate) compression: Option<usize>,
    pub(crate) hooks: Hooks,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            cors: Cors::default(),
            proxies: None,
            proxy_protocol: false,
            addresses: None,
            cookie: None,
            compression: Some(1024),
            hooks: Hooks::default(),
        }
    }
}

impl HttpOptions {
    /// What one address may take, if it is known what a client's address is.
    pub(crate) fn address_limits(&self) -> Option<AddressLimits> {
        self.proxies.is_some().then(|| self.addresses.unwrap_or_default())
    }

    /// Everything that is wrong, one sentence each.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.cors.problems().to_vec();
        problems.extend(self.proxies.iter().flat_map(|proxies| proxies.problems().to_vec()));
        problems.extend(self.cookie.iter().flat_map(Cookie::problems));
        problems.extend(self.hooks.problems().iter().cloned());
        if self.addresses.is_some() && self.proxies.is_none() {
            problems.push(
                "address_limits: whose address is a client's? Say which proxies there are with trusted_proxies, or TrustedProxies::none()"
                    .into(),
            );
        }
        let believed = self
            .proxies
            .as_ref()
            .is_some_and(|proxies| !proxies.is_empty() || !proxies.problems().is_empty());
        if self.proxy_protocol && !believed {
            problems.push("proxy_protocol: trusted_proxies has to name those who may speak it".into());
        }
        problems
    }
}

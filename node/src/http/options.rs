//! What can be set about HTTP, and whether it makes sense together.

use super::{cookie::Cookie, cors::Cors, hooks::Hooks, proxies::TrustedProxies};

/// The settings of the HTTP side, as the builder collects them.
#[derive(Debug, Default)]
pub(crate) struct HttpOptions {
    pub(crate) cors: Cors,
    /// `None`: nobody said whether there are any.
    pub(crate) proxies: Option<TrustedProxies>,
    pub(crate) cookie: Option<Cookie>,
    pub(crate) hooks: Hooks,
}

impl HttpOptions {
    /// Everything that is wrong, one sentence each.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.cors.problems().to_vec();
        problems.extend(self.proxies.iter().flat_map(|proxies| proxies.problems().to_vec()));
        problems.extend(self.cookie.iter().flat_map(Cookie::problems));
        problems.extend(self.hooks.problems().iter().cloned());
        problems
    }
}

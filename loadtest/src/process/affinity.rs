//! Cores and limits of this process.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// The calling thread, in the kernel's words.
const THIS: Pid = Pid::from_raw(0);

/// Keeps the calling thread, and what it starts from now on, on one core.
///
/// # Errors
/// When there is no such core, or this process may not use it.
pub fn pin_to(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(THIS, &set)?)
}

/// Does something on one core, then puts the calling thread back where it was. A process started meanwhile stays
/// on that core, with all threads that it will ever have.
///
/// # Errors
/// As [`pin_to`].
pub fn pinned<T>(core: Option<usize>, what: impl FnOnce() -> T) -> io::Result<T> {
    let Some(core) = core else {
        return Ok(what());
    };
    let before = sched_getaffinity(THIS)?;
    pin_to(core)?;
    let result = what();
    sched_setaffinity(THIS, &before)?;
    Ok(result)
}

/// Raises the limit of open descriptors as far as it goes without privileges. Returns the limit.
///
/// # Errors
/// When the limit cannot be read.
pub fn allow_all_descriptors() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Ok(hard);
    }
    Ok(soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_ends_with_the_closure() {
        let before = sched_getaffinity(THIS).expect("readable");
        let core = (0..CpuSet::count()).find(|&core| before.is_set(core) == Ok(true)).expect("some core");
        let inside = pinned(Some(core), || sched_getaffinity(THIS).expect("readable"));
        let inside = inside.expect("pinned");
        assert_eq!(inside.is_set(core), Ok(true));
        let cores = (0..CpuSet::count()).filter(|&core| inside.is_set(core) == Ok(true));
        assert_eq!(cores.count(), 1);
        assert_eq!(sched_getaffinity(THIS).expect("readable"), before);
        assert!(pin_to(CpuSet::count() + 1).is_err());
    }
}

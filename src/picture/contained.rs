//! Runs the code of others on the bytes of others: a panic in it becomes a value, and says nothing on stderr. It must not
//! know what is run.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread will be caught here.
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns, or the message of its panic. `work` must leave nothing behind that a panic would break.
pub(super) fn run<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    quieten();
    let outer = CONTAINED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(outer);
    outcome.map_err(|panic| told(&*panic))
}

/// The hook that was set before tells all panics but those that are contained.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told: Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CONTAINED.try_with(Cell::get).unwrap_or(false) {
                told(info);
            }
        }));
    });
}

fn told(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "its decoder gave up".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_message() {
        assert_eq!(run(|| 7), Ok(7));
        assert_eq!(run(|| -> u8 { panic!("of text") }), Err("of text".into()));
        let beyond = std::hint::black_box(3);
        assert!(run(|| [1, 2, 3][beyond]).unwrap_err().contains("index out of bounds"));
        assert_eq!(run(|| -> u8 { panic::panic_any(5) }), Err("its decoder gave up".into()));
        // One within another is contained no less, and neither leaves the thread silent.
        assert_eq!(run(|| run(|| -> u8 { panic!("inner") })), Ok(Err("inner".into())));
        assert!(!CONTAINED.get());
    }
}

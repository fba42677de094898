//! `--interface`: packets as they pass.

#[cfg(feature = "live")]
mod capture;

#[cfg(feature = "live")]
pub(crate) use self::capture::{Interface, read};

#[cfg(not(feature = "live"))]
pub(crate) use self::absent::{Interface, read};

#[cfg(not(feature = "live"))]
mod absent {
    use std::io;

    use crate::args::Common;
    use crate::input::{Consumer, Read};

    /// No interface: there is none in a build without libpcap.
    #[derive(Clone, Debug)]
    pub(crate) enum Interface {}

    impl Interface {
        /// Says how to get a build that has interfaces.
        pub(crate) fn parse(_name: &str) -> Result<Self, String> {
            Err("this build has no live capture; one that has it, and needs libpcap, is made with \
                 `cargo install --path crates/flow-cli --features live`"
                .to_owned())
        }

        /// Is never called.
        pub(crate) fn name(&self) -> &str {
            match *self {}
        }
    }

    /// Is never called.
    pub(crate) fn read(
        interface: &Interface,
        _common: &Common,
        _consumer: &mut impl Consumer,
    ) -> io::Result<Read> {
        match *interface {}
    }
}

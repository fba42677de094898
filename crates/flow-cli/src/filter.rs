//! `--filter`: which packets of a capture count.

#[cfg(feature = "filter")]
mod bpf;
#[cfg(feature = "filter")]
mod compiled;

#[cfg(feature = "filter")]
pub(crate) use self::compiled::Filter;

#[cfg(not(feature = "filter"))]
pub(crate) use self::absent::Filter;

#[cfg(not(feature = "filter"))]
mod absent {
    use flow::PacketView;

    /// No filter: there is none in a build without libpcap.
    #[derive(Clone, Debug)]
    pub(crate) enum Filter {}

    impl Filter {
        /// Says how to get a build that has filters.
        pub(crate) fn parse(_expression: &str) -> Result<Self, String> {
            Err("this build has no packet filter; one that has it, and needs libpcap, is made with \
                 `cargo install --path crates/flow-cli --features filter`"
                .to_owned())
        }

        /// Is never called.
        pub(crate) fn matches(&mut self, _view: PacketView<'_>) -> Result<bool, String> {
            match *self {}
        }
    }
}

/// The methods of the IANA registry, in its order, without `*`, which is there so that nobody takes
/// it, and `PRI`, which is no request but the beginning of HTTP/2 (RFC 9113 section 3.4).
const REGISTERED: [&[u8]; 39] = [
    b"ACL",
    b"BASELINE-CONTROL",
    b"BIND",
    b"CHECKIN",
    b"CHECKOUT",
    b"CONNECT",
    b"COPY",
    b"DELETE",
    b"GET",
    b"HEAD",
    b"LABEL",
    b"LINK",
    b"LOCK",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKCOL",
    b"MKREDIRECTREF",
    b"MKWORKSPACE",
    b"MOVE",
    b"OPTIONS",
    b"ORDERPATCH",
    b"PATCH",
    b"POST",
    b"PROPFIND",
    b"PROPPATCH",
    b"PUT",
    b"QUERY",
    b"REBIND",
    b"REPORT",
    b"SEARCH",
    b"TRACE",
    b"UNBIND",
    b"UNCHECKOUT",
    b"UNLINK",
    b"UNLOCK",
    b"UPDATE",
    b"UPDATEREDIRECTREF",
    b"VERSION-CONTROL",
];

/// Bytes of the longest registered method.
pub(crate) const LONGEST: usize = 17;

/// Whether `method` is registered. The case of its letters counts (RFC 9110 section 9.1).
pub(crate) fn is_registered(method: &[u8]) -> bool {
    REGISTERED.contains(&method)
}

/// Length of the longest registered method at the end of `bytes`.
pub(crate) fn suffix_len(bytes: &[u8]) -> Option<usize> {
    REGISTERED.iter().filter(|method| bytes.ends_with(method)).map(|method| method.len()).max()
}

/// Whether `bytes` are the beginning of a registered method.
pub(crate) fn may_become(bytes: &[u8]) -> bool {
    REGISTERED.iter().any(|method| method.starts_with(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_at_the_end() {
        let check = |bytes: &[u8], expected| assert_eq!(suffix_len(bytes), expected);
        check(b"GET", Some(3));
        check(b"c=dPOST", Some(4));
        check(b"xUNLINK", Some(6));
        check(b"get", None);
        check(b"", None);
    }

    #[test]
    fn the_beginning_of_a_method_may_become_one() {
        let check = |bytes: &[u8], expected| assert_eq!(may_become(bytes), expected);
        for bytes in [&b"G"[..], b"GET", b"VERSION-CONTROL"] {
            check(bytes, true);
        }
        for bytes in [&b"g"[..], b"GETS", b"GET ", b" GET", b"PRI"] {
            check(bytes, false);
        }
    }

    #[test]
    fn the_longest_one_is_known() {
        assert_eq!(REGISTERED.iter().map(|method| method.len()).max(), Some(LONGEST));
        assert!(REGISTERED.is_sorted());
    }
}

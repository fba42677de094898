/// The name of a key exchange group in the IANA registry "TLS Supported Groups", or the one that
/// its implementers gave it; `None` for GREASE and for what is unassigned.
///
/// ```
/// use flow_tls::group_name;
///
/// assert_eq!(group_name(29), Some("x25519"));
/// assert_eq!(group_name(0x11ec), Some("X25519MLKEM768"));
/// assert_eq!(group_name(0x0a0a), None);
/// ```
#[must_use]
pub const fn group_name(group: u16) -> Option<&'static str> {
    Some(match group {
        1 => "sect163k1",
        2 => "sect163r1",
        3 => "sect163r2",
        4 => "sect193r1",
        5 => "sect193r2",
        6 => "sect233k1",
        7 => "sect233r1",
        8 => "sect239k1",
        9 => "sect283k1",
        10 => "sect283r1",
        11 => "sect409k1",
        12 => "sect409r1",
        13 => "sect571k1",
        14 => "sect571r1",
        15 => "secp160k1",
        16 => "secp160r1",
        17 => "secp160r2",
        18 => "secp192k1",
        19 => "secp192r1",
        20 => "secp224k1",
        21 => "secp224r1",
        22 => "secp256k1",
        23 => "secp256r1",
        24 => "secp384r1",
        25 => "secp521r1",
        26 => "brainpoolP256r1",
        27 => "brainpoolP384r1",
        28 => "brainpoolP512r1",
        29 => "x25519",
        30 => "x448",
        31 => "brainpoolP256r1tls13",
        32 => "brainpoolP384r1tls13",
        33 => "brainpoolP512r1tls13",
        34 => "GC256A",
        35 => "GC256B",
        36 => "GC256C",
        37 => "GC256D",
        38 => "GC512A",
        39 => "GC512B",
        40 => "GC512C",
        41 => "curveSM2",
        256 => "ffdhe2048",
        257 => "ffdhe3072",
        258 => "ffdhe4096",
        259 => "ffdhe6144",
        260 => "ffdhe8192",
        0xff01 => "arbitrary_explicit_prime_curves",
        0xff02 => "arbitrary_explicit_char2_curves",
        _ => return post_quantum_name(group),
    })
}

/// Whether a key exchange in this group withstands a quantum computer: ML-KEM (FIPS 203), alone
/// or together with an elliptic curve, and the drafts and experiments before it.
///
/// ```
/// use flow_tls::is_post_quantum;
///
/// assert!(is_post_quantum(0x11ec) && is_post_quantum(0x6399));
/// assert!(!is_post_quantum(29));
/// ```
#[must_use]
pub const fn is_post_quantum(group: u16) -> bool {
    post_quantum_name(group).is_some()
}

const fn post_quantum_name(group: u16) -> Option<&'static str> {
    Some(match group {
        0x0200 => "MLKEM512",
        0x0201 => "MLKEM768",
        0x0202 => "MLKEM1024",
        0x11eb => "SecP256r1MLKEM768",
        0x11ec => "X25519MLKEM768",
        0x11ed => "SecP384r1MLKEM1024",
        0x11ee => "curveSM2MLKEM768",
        0x6399 => "X25519Kyber768Draft00",
        0x639a => "SecP256r1Kyber768Draft00",
        // Never registered: experiments of BoringSSL and of Cloudflare.
        0x4138 => "CECPQ2",
        0xfe30 => "X25519Kyber512Draft00",
        0xfe31 => "X25519Kyber768Draft00Old",
        0xfe32 => "P256Kyber768Draft00",
        _ => return None,
    })
}

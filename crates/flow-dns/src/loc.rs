//! LOC records (RFC 1876).

use std::fmt::{self, Write};

use crate::presentation::Bytes;

/// Latitude and longitude are thousandths of a second of arc, and zero is at 2^31.
const ZERO_ANGLE: u32 = 1 << 31;

/// Zero of the altitude in centimetres: it is counted from 100 km below the ellipsoid.
const ZERO_ALTITUDE: i64 = 10_000_000;

/// Writes `51 30 12.748 N 0 7 39.611 W 0.00m 1.00m 10000.00m 10.00m`: latitude, longitude,
/// altitude, size, horizontal and vertical precision.
pub(crate) fn write_location(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    let &[version, size, horizontal, vertical] = bytes.take(4)?.first_chunk()?;
    let mut word = || u32::try_from(bytes.number(4)?).ok();
    let (latitude, longitude, altitude) = (word()?, word()?, word()?);
    if version != 0 {
        return None;
    }
    write_angle(out, latitude, 90, ['N', 'S'])?;
    write_angle(out, longitude, 180, ['E', 'W'])?;
    let altitude = i64::from(altitude) - ZERO_ALTITUDE;
    let sign = if altitude < 0 { "-" } else { "" };
    write!(out, "{sign}{}", Metres(altitude.unsigned_abs())).ok()?;
    for precision in [size, horizontal, vertical] {
        write!(out, " {}", Metres(centimetres(precision)?)).ok()?;
    }
    Some(Ok(()))
}

fn write_angle(out: &mut String, raw: u32, most: u32, sides: [char; 2]) -> Option<()> {
    let [positive, negative] = sides;
    let side = if raw >= ZERO_ANGLE { positive } else { negative };
    let (seconds, thousandths) = {
        let angle = raw.abs_diff(ZERO_ANGLE);
        (angle / 1_000, angle % 1_000)
    };
    let (degrees, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if degrees > most {
        return None;
    }
    write!(out, "{degrees} {minutes} {seconds}.{thousandths:03} {side} ").ok()
}

/// The upper four bits are a digit, the lower four the power of ten it is multiplied with.
fn centimetres(precision: u8) -> Option<u64> {
    let (digit, power) = (precision >> 4, precision & 0xF);
    (digit <= 9 && power <= 9).then(|| u64::from(digit) * 10_u64.pow(u32::from(power)))
}

struct Metres(u64);

impl fmt::Display for Metres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}m", self.0 / 100, self.0 % 100)
    }
}

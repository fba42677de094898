//! Every type in its presentation format, as dnspython 2.9 writes it but for upper case in
//! hexadecimal, numbers for mnemonics of CERT, and quotes and final dots that may be left out.

mod common;

use common::{QUESTION, decode, message, record};
use flow_dns::DnsMessage;

fn shown(rtype: u16, hex: &str) -> String {
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a digit");
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0]) << 4 | digit(pair[1])).expect("a byte");
    let rdata: Vec<u8> = hex.as_bytes().chunks(2).map(byte).collect();
    let bytes = message(1, 0x8400, [1, 1, 0, 0], &[QUESTION, &record(rtype, &rdata)]);
    let DnsMessage::Response(response) = decode(&bytes) else { panic!("a response") };
    assert_eq!((response.answers[0].rdata(), response.malformed), (&rdata[..], None));
    response.answers[0].data.to_string()
}

#[track_caller]
fn check(rtype: u16, hex: &str, expected: &str) {
    assert_eq!(shown(rtype, hex), expected);
}

#[test]
fn types() {
    check(37, "0003000108010203", "3 1 8 AQID");
    check(37, "fde8000108010203", "65000 1 8 AQID");
    check(
        55,
        "10020084200100107b1a74df365639cc39f1d57803010001b771ca136e4aeb5ce44333c53b3d2c13c22243851fc708bcce29f7e2eb5787b5f56ccad34f8223acc10904ddb56b2ec4a6d6232f3b50ea094f0914b3b941bbe529af582c36bbadefdaf2adaf9b4911906f5b2522603c615272b880ec8fb930cc6ee39c444daa75b1678f005a4b2499d1da5433f805c7a5ad3237acc5dd5c5e430472767331076578616d706c6503636f6d000472767332076578616d706c6503636f6d00",
        "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+CI6zBCQTdtWsuxKbWIy87UOoJTwkUs7lBu+Upr1gsNrut79ryra+bSRGQb1slImA8YVJyuIDsj7kwzG7jnERNqnWxZ48AWkskmdHaVDP4BcelrTI3rMXdXF5D rvs1.example.com rvs2.example.com",
    );
    check(
        42,
        "00011503c0a82000011c83c0a8260002200420010db800010000",
        "1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32 1:0.0.0.0/0",
    );
    check(
        47,
        "04686f7374076578616d706c6503636f6d000006400100000003010140041b000000000000000000000000000000000000000000000000000020",
        "host.example.com A MX RRSIG NSEC CAA TYPE1234",
    );
    check(
        50,
        "0101000c04aabbccdd14174eb2409fe28bcb4887a1836f957f0a8425e27b000722010000000290",
        "1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR NS SOA MX RRSIG DNSKEY NSEC3PARAM",
    );
    check(59, "0000000000", "0 0 0 00");
    check(60, "0000030000", "0 3 0 AA==");
    check(
        63,
        "7848b78c0101febe3d4ce2ec2ffa4ba99d46cd69d6d29711e55217057bee7eb1a7b641a47ba7fed2dd5b97ae499fafa4f22c6bd647de",
        "2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE7EB1A7B641A47BA7FED2DD5B97AE499FAFA4F22C6BD647DE",
    );
    check(62, "000000420003000460000008", "66 3 A NS AAAA");
    check(65, "000003666f6f076578616d706c6503636f6d00", "0 foo.example.com");
    check(
        65,
        "0001000001000302683200020000000700102f646e732d71756572797b3f646e737d00080000",
        "1 . alpn=h2 no-default-alpn dohpath=/dns-query{?dns} ohttp",
    );
    check(109, "00005eef1000002a", "00-00-5e-ef-10-00-00-2a");
    check(
        29,
        "00009999934fd90059604e0000000000",
        "90 0 0.000 N 180 0 0.000 W -100000.00m 0.00m 90000000.00m 90000000.00m",
    );
    check(
        29,
        "002325238ce82360854a10a000989a68",
        "60 9 0.000 N 24 39 0.000 E 10.00m 20.00m 2000.00m 20.00m",
    );
    check(
        256,
        "000a00016674703a2f2f667470312e6578616d706c652e636f6d2f7075626c6963",
        r#"10 1 "ftp://ftp1.example.com/public""#,
    );
    check(61, "0102030405", "AQIDBAU=");
    check(
        49,
        "000201636fc0b8271c82825bb1ac5c41cf5351aa69b4febd94e8f17cdb95000da48c40",
        "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
    );
    check(260, "0a01cb00710f", "10 0 1 203.0.113.15");
    check(260, "0a0220010db8000000000000000000000015", "10 0 2 2001:db8::15");
    check(
        260,
        "808309616d7472656c617973076578616d706c6503636f6d00",
        "128 1 3 amtrelays.example.com",
    );
    check(260, "0a00", "10 0 0 .");
    check(
        45,
        "0a0102c0000226010351537986ed35533b6064478eeeb27b5bd74dae149b6e81ba3a0521af82ab7801",
        "10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==",
    );
    check(45, "0a0002010351", "10 0 2 . AQNR");
    check(
        45,
        "0a0302096d7967617465776179076578616d706c6503636f6d00010351",
        "10 3 2 mygateway.example.com AQNR",
    );
    check(
        45,
        "0a020220010db8000080020000000020000001010351",
        "10 2 2 2001:db8:0:8002::2000:1 AQNR",
    );
    check(
        17,
        "056c6f756965077472616e746f7203756d640365647500044c414d310670656f706c6503756d640365647500",
        "louie.trantor.umd.edu LAM1.people.umd.edu",
    );
    check(18, "000103616673076578616d706c6503636f6d00", "1 afs.example.com");
    check(
        22,
        "47000580005a0000000001e133ffffff00016100",
        "0x47000580005A0000000001E133FFFFFF00016100",
    );
    check(19, "0c333131303631373030393536", r#""311061700956""#);
    check(20, "0f31353038363230323830303332313703303034", r#""150862028003217" "004""#);
    check(20, "0f313530383632303238303033323137", r#""150862028003217""#);
    check(27, "082d33322e36383832083131362e383635320431302e30", r#""-32.6882" "116.8652" "10.0""#);
    check(
        26,
        "000a046e657432026974000950524d442d6e6574320941444d442d7034303004432d697400",
        "10 net2.it PRMD-net2.ADMD-p400.C-it",
    );
    check(36, "000a026b78076578616d706c6503636f6d00", "10 kx.example.com");
    check(39, "03666f6f076578616d706c6503636f6d00", "foo.example.com");
    check(105, "000a0a010200", "10 10.1.2.0");
    check(106, "000a20010db811401000", "10 2001:0db8:1140:1000");
    check(
        107,
        "000a0b6c36342d7375626e657431076578616d706c6503636f6d00",
        "10 l64-subnet1.example.com",
    );
    check(104, "000a00144fffff20ee64", "10 0014:4fff:ff20:ee64");
    check(56, "01610162", r#""a" "b""#);
    check(
        261,
        "08716e616d656d696e0f6578746572723d31352c31362c3137",
        r#""qnamemin" "exterr=15,16,17""#,
    );
    check(262, "0161", r#""a""#);
    check(
        44,
        "0201123456789abcdef67890123456789abcdef67890",
        "2 1 123456789ABCDEF67890123456789ABCDEF67890",
    );
    check(
        46,
        "000108030001518070dbd8805e0be1000a52076578616d706c6503636f6d00010203",
        "A 8 3 86400 20300101000000 20200101000000 2642 example.com AQID",
    );
    check(21, "00020572656c6179076578616d706c6503636f6d00", "2 relay.example.com");
    check(11, "0a000001060000004000000400000080", "10.0.0.1 6 25 53 80");
    check(11, "0a0000011100000000000004", "10.0.0.1 17 53");
    check(
        66,
        "003b0114ef0b6364732d7363616e6e6572076578616d706c65036e657400",
        "CDS NOTIFY 5359 cds-scanner.example.net",
    );
    check(23, "03666f6f03626172076578616d706c6500", "foo.bar.example");
    check(7, "016100", "a");
    check(14, "016100016200", "a b");
    check(58, "016100016200", "a b");
    check(52, "03010100ff", "3 1 1 00FF");
    check(
        64,
        "000103666f6f00000000040001000300010006026832026833000300020035000400080102030405060708000500030102030006001020010db8000000000000000000000001029b000568656c6c6f",
        "1 foo mandatory=alpn,port alpn=h2,h3 port=53 ipv4hint=1.2.3.4,5.6.7.8 ech=AQID ipv6hint=2001:db8::1 key667=hello",
    );
    check(30, "0161004001", "a A MX");
    check(
        249,
        "03616c67003e5c14373e83a137000300000002abcd0000",
        "alg 20030226011119 20030328011119 3 NOERROR 2 q80= 0",
    );
    check(
        250,
        "03616c670000003e5c1437012c0002abcd1234001000060000000000ff",
        "alg 1046221879 300 2 q80= 4660 BADVERS 6 AAAAAAD/",
    );
}

/// EDNS options, for which there is no standard form.
#[test]
fn options() {
    check(41, "000300036e7331", r#"NSID="ns1""#);
    check(41, "0003000200ff", "NSID=00FF");
    check(41, "0008000700011800c00002", "ECS=192.0.2.0/24/0");
    check(41, "000800080002203820010db8", "ECS=2001:db8::/32/56");
    check(41, "0008000400000000", "ECS=00000000");
    check(41, "000a00080102030405060708", "COOKIE=0102030405060708");
    check(41, "000b0000", "KEEPALIVE");
    check(41, "000b000200ff", "KEEPALIVE=25.5s");
    check(41, "000c000400000000", "PADDING=4");
    check(41, "000c0000", "PADDING");
    check(41, "000f00020012", "EDE=18");
    check(41, "000f00050016612262", r#"EDE=22,"a\"b""#);
    check(41, "00050003050708", "DAU=5,7,8");
    check(41, "000e00044a5c1234", "KEY-TAG=19036,4660");
    check(41, "000900040000012c", "EXPIRE=300");
    check(41, "000d00050361626300", "CHAIN=abc");
    check(41, "fde9000101000a0001ff", "OPT65001=01 COOKIE=FF");
    check(41, "0009000101", "EXPIRE=01");
    check(41, "000a000801", r#"\# 5 000A000801"#);
}

/// What a type does not allow is as of a type that is not known.
#[test]
fn not_of_their_type() {
    check(42, "00011506c0a820000102", "\\# 10 00011506C0A820000102");
    check(42, "0003150101", "\\# 5 0003150101");
    check(45, "0a0102c00002", "\\# 6 0A0102C00002");
    check(45, "0a0402", "\\# 3 0A0402");
    check(55, "10020084", "\\# 4 10020084");
    check(260, "0a03", "\\# 2 0A03");
    check(260, "0a01cb0071", "\\# 5 0A01CB0071");
    check(11, "0a0000", "\\# 3 0A0000");
    check(104, "000a00", "\\# 3 000A00");
    check(105, "000a0a0102", "\\# 5 000A0A0102");
    check(30, "0161", "\\# 2 0161");
}

//! The flat XML of WeChat Pay's V2 answers: what is read is written and read again as the same, nothing but names and texts
//! ever comes of it, and without the key no text is signed.

use coffer::channels::wechatpay::code_v2::sign::verifies;
use coffer::channels::wechatpay::code_v2::xml::{FIELDS_MAX, MESSAGE_MAX_BYTES, NAME_MAX_BYTES, read, write};
use coffer::crypto::Secret;

use super::{Seed, Verdict, seed};

pub fn run(data: &[u8]) -> Verdict {
    let Ok(fields) = read(data) else { return Verdict::Refused };
    assert!(data.len() <= MESSAGE_MAX_BYTES && fields.len() <= FIELDS_MAX);
    for (name, value) in &fields {
        assert!((1..=NAME_MAX_BYTES).contains(&name.len()), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        // Entities are replaced by one character each, so nothing grows.
        assert!(value.len() <= data.len());
    }
    assert_eq!(read(&write(&fields)).as_ref(), Ok(&fields));
    assert!(!verifies(&fields, &Secret::new("a key that no fuzzer knows, really")));
    Verdict::Accepted
}

pub fn seeds() -> Vec<Seed> {
    vec![
        seed(
            "paid",
            "<xml><return_code><![CDATA[SUCCESS]]></return_code>\n<mch_id><![CDATA[10000100]]></mch_id>\n\
             <result_code><![CDATA[SUCCESS]]></result_code>\n<total_fee>888</total_fee>\n<attach><![CDATA[]]></attach>\n\
             <sign><![CDATA[C97BDBACF37622775366F38B629F45E3]]></sign>\n</xml>",
        ),
        seed("declared", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<xml><a>1 &lt; 2 &amp; 3</a><b/></xml>\n"),
        seed("laughs", "<!DOCTYPE lolz [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;\">]><xml><c>&b;</c></xml>"),
        seed("nested", "<xml><a><b>1</b></a></xml>"),
        seed("twice", "<xml><a>1</a><a>2</a></xml>"),
        seed("cdata", "<xml><a>x<![CDATA[<a>]]>&gt;<![CDATA[]]]]><![CDATA[>]]></a></xml>"),
    ]
}

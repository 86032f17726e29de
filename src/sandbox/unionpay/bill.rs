//! Clearing files as the provider writes them: lines of fixed width in GBK, in a ZIP, packed once more. Source: §8.

use std::io::{Cursor, Write};

use jiff::civil::Date;

use super::counter::{query_id_of, trace_no};
use super::time::beijing;
use super::wire::Fields;
use crate::domain::time::Timestamp;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{Order, Refund, number};

/// Bytes of a ZM line.
const LINE_BYTES: usize = 607;
/// The merchant pays 0.60 %.
const RATE_PER_10_000: u64 = 60;

/// The card that every payer has.
pub const MASKED_CARD: &str = "6216***********0018";

/// One transaction of the day.
#[derive(Clone)]
pub struct Row {
    /// `01` or `04` or `31`.
    txn_type: String,
    biz_type: String,
    query_id: String,
    order_id: String,
    trace_no: String,
    at: Timestamp,
    minor: u64,
    /// Of what is given back.
    original: Option<Original>,
}

#[derive(Clone)]
struct Original {
    query_id: String,
    order_id: String,
    trace_no: String,
    at: Timestamp,
}

impl Row {
    pub fn payment(order: &Order, at: Timestamp) -> Self {
        Self {
            txn_type: "01".to_owned(),
            biz_type: field(&order.asked.details, "bizType"),
            query_id: order.short_number(),
            order_id: order_id(&order.asked.number),
            trace_no: trace_no(&order.asked.number),
            at,
            minor: order.received.as_ref().map_or(0, |received| received.amount.minor()),
            original: None,
        }
    }

    pub fn refund(order: &Order, refund: &Refund) -> Self {
        Self {
            txn_type: field(&refund.asked.details, "txnType"),
            biz_type: field(&refund.asked.details, "bizType"),
            query_id: query_id_of(refund),
            order_id: order_id(&refund.asked.number),
            trace_no: trace_no(&refund.asked.number),
            at: refund.created_at,
            minor: refund.asked.amount.minor(),
            original: Some(Original {
                query_id: order.short_number(),
                order_id: order_id(&order.asked.number),
                trace_no: trace_no(&order.asked.number),
                at: order.received.as_ref().map_or(order.created_at, |received| received.at),
            }),
        }
    }

    fn line(&self, mer_id: &str) -> Vec<u8> {
        let fee = (self.minor * RATE_PER_10_000 + 5_000) / 10_000;
        let payment = self.original.is_none();
        // The fee of a payment is taken, that of a refund given back; the amount goes the other way.
        let (fee_sign, settle_sign) = if payment { ('D', 'C') } else { ('C', 'D') };
        let time = |at: Timestamp| beijing(at).split_off(4);
        let code = match self.txn_type.as_str() {
            "01" => "S22",
            "04" => "S30",
            _ => "S31",
        };
        let mut line = vec![b' '; LINE_BYTES];
        let mut put = |offset: usize, text: &str| {
            line[offset..offset + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, code);
        put(4, "00010000");
        put(16, "00010000");
        put(28, &self.trace_no);
        put(35, &time(self.at));
        put(46, MASKED_CARD);
        put(66, &format!("{:012}", self.minor));
        put(79, "5411");
        put(84, "08");
        put(87, &self.query_id);
        put(112, self.order_id.get(..32).unwrap_or(&self.order_id));
        put(145, "01");
        if let Some(original) = &self.original {
            put(148, &original.trace_no);
            put(155, &time(original.at));
            put(271, &original.query_id);
            put(476, original.order_id.get(..32).unwrap_or(&original.order_id));
        }
        put(166, &format!("{fee_sign}{fee:012}"));
        put(180, &format!("{settle_sign}{:012}", self.minor));
        put(194, "0001");
        put(215, &self.txn_type);
        put(218, "01");
        put(221, &self.biz_type);
        put(228, "01");
        put(269, "0");
        put(293, mer_id);
        for offset in [360, 374, 430, 444] {
            put(offset, "C000000000000");
        }
        put(458, "D00000000000");
        put(471, "00");
        put(474, "0");
        line.extend_from_slice(b"\r\n");
        line
    }
}

/// `fileContent` of a day.
pub fn write(mer_id: &str, day: Date, mut rows: Vec<Row>, faults: Faults) -> String {
    if faults.has(Fault::BillRowMissing) {
        rows.remove(0);
    }
    if faults.has(Fault::BillRowAltered)
        && let Some(row) = rows.first_mut()
    {
        row.minor += 1;
    }
    if faults.has(Fault::BillRowExtra)
        && let Some(first) = rows.first().cloned()
    {
        let query_id = number("7", &format!("nobody {}", first.query_id)).split_off(6);
        rows.push(Row { query_id, order_id: "NOBODYKNOWS0001".to_owned(), minor: 100, ..first });
    }
    let lines: Vec<u8> = rows.iter().flat_map(|row| row.line(mer_id)).collect();
    let short_day = day.strftime("%y%m%d").to_string();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (kind, bytes) in [("ZM", lines.as_slice()), ("ZME", &[])] {
        let name = format!("INN{short_day}88{kind}_{mer_id}");
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .and_then(|()| Ok(zip.write_all(bytes)?))
            .expect("writing into memory does not fail");
    }
    let mut bytes = zip.finish().expect("writing into memory does not fail").into_inner();
    if faults.has(Fault::BillCut) {
        bytes.truncate(bytes.len() / 2);
    }
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = packer.write_all(&bytes).and_then(|()| packer.finish()).expect("writing into memory does not fail");
    data_encoding::BASE64.encode(&packed)
}

/// A field of the call that a transaction was asked for with.
fn field(details: &str, name: &str) -> String {
    let mut fields: Fields = serde_json::from_str(details).unwrap_or_default();
    fields.remove(name).unwrap_or_default()
}

/// The merchant's number behind what names the transaction.
fn order_id(number: &str) -> String {
    number.split(' ').next().unwrap_or(number).to_owned()
}

//! Banks whose debit cards a refund can be sent to. Source: WeChat Pay API v3, "发起异常退款", bank_type.

use crate::channels::Bank;
use crate::lang::Text;

/// The largest first, as a shopkeeper looks for them.
pub const DEBIT: &[Bank] = &[
    Bank { code: "CMB_DEBIT", name: Text::new("招商银行", "China Merchants Bank") },
    Bank { code: "ICBC_DEBIT", name: Text::new("工商银行", "ICBC") },
    Bank { code: "ABC_DEBIT", name: Text::new("农业银行", "Agricultural Bank of China") },
    Bank { code: "CCB_DEBIT", name: Text::new("建设银行", "China Construction Bank") },
    Bank { code: "BOC_DEBIT", name: Text::new("中国银行", "Bank of China") },
    Bank { code: "COMM_DEBIT", name: Text::new("交通银行", "Bank of Communications") },
    Bank { code: "PSBC_DEBIT", name: Text::new("邮储银行", "Postal Savings Bank") },
    Bank { code: "CITIC_DEBIT", name: Text::new("中信银行", "China CITIC Bank") },
    Bank { code: "CEB_DEBIT", name: Text::new("光大银行", "China Everbright Bank") },
    Bank { code: "CMBC_DEBIT", name: Text::new("民生银行", "China Minsheng Bank") },
    Bank { code: "CIB_DEBIT", name: Text::new("兴业银行", "Industrial Bank") },
    Bank { code: "SPDB_DEBIT", name: Text::new("浦发银行", "SPD Bank") },
    Bank { code: "PAB_DEBIT", name: Text::new("平安银行", "Ping An Bank") },
    Bank { code: "GDB_DEBIT", name: Text::new("广发银行", "China Guangfa Bank") },
    Bank { code: "NBCB_DEBIT", name: Text::new("宁波银行", "Bank of Ningbo") },
];

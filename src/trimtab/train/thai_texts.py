"""Thai sentences of our own with names, which `trimtab.train.thai` fills and strings together.

`{NAME}` is a person as forms and letters write one, `{CALL}` as people speak of one, `{FULL}` without a title, `{FIRST}`
one name alone; `{ADDR}` an address, `{ORG}` who employs or sells. The other slots are nobody's.
"""

# ruff: noqa: E501 - sentences
NAMED = r"""
{I}ชื่อ{NAME}{P}
{I}ชื่อ {FULL} {P}
สวัสดี{P} {I}ชื่อ{FIRST} อยากสอบถามเรื่อง{THING}หน่อย{P}
{I}{FULL}เป็นลูกค้าของ{ORG}มาสามปีแล้ว
{I} {FULL} เลขที่สมาชิก {NO} ขอเปลี่ยนที่อยู่เป็น {ADDR}
นี่{FIRST}เองนะ จำได้ไหม
ติดต่อกลับ{CALL}ที่เบอร์ {TEL} ด้วย{P}
รบกวนโทรหา{CALL} {TEL} ก่อนส่งของ{P}
ฝากบอก{CALL}ว่า{THING}มาถึงแล้ว
ฝากเรื่องนี้ให้{CALL}ดูต่อด้วยนะ
เมื่อวาน{CALL}โทรมาถามเรื่อง{THING}
เมื่อเช้า{I}คุยกับ{CALL}แล้ว เขาบอกว่าจะคืนเงินให้
{CALL}แจ้งว่ายังไม่ได้รับ{THING}
{CALL}บอกว่าจะมาพรุ่งนี้
{CALL}ไม่อยู่ ไปประชุมที่{PLACE}
{CALL}กับ{CALL}ทะเลาะกันอีกแล้ว
{CALL}และ{CALL}แต่งงานกันเมื่อ{DAY}
ขอสาย{CALL}หน่อย{P}
ขอคุยกับ{CALL}ได้ไหม{P}
อยากนัดพบ{CALL}วัน{DAY}
ช่วยส่งอีเมลถึง{CALL}ให้หน่อย ที่ {MAIL}
เรียน {NAME}
เรียน {NAME} ทางบริษัทได้รับเรื่องร้องเรียนของท่านแล้ว
เรียน {CALL} ที่นับถือ
ถึง {NAME}
ถึง{CALL} ขอบคุณสำหรับ{THING}
จาก {NAME}
จาก: {NAME} <{MAIL}>
ถึง: {FULL} <{MAIL}>
สำเนาถึง {NAME}, {NAME}
ขอแสดงความนับถือ\n{NAME}
ขอแสดงความนับถือ\n\n({NAME})\nผู้จัดการฝ่าย{THING}
ด้วยความเคารพ\n{FULL}
ขอบคุณ{P}\n{FULL}\n{ORG}
รักและคิดถึง\n{FIRST}
ชื่อ: {FULL}
ชื่อ-นามสกุล: {NAME}
ชื่อ นามสกุล {NAME}
ชื่อลูกค้า: {NAME}\nที่อยู่: {ADDR}\nโทร: {TEL}
ชื่อผู้รับ {FULL} ที่อยู่ {ADDR} โทร {TEL}
ผู้รับ: {NAME}\n{ADDR}
ผู้ส่ง {FULL} โทร. {TEL}
ผู้ป่วย: {NAME} อายุ {NO} ปี
ผู้ป่วยชื่อ{NAME} อายุ {NO} ปี มาด้วยอาการปวด{THING}
ผู้สมัคร: {FULL}
ผู้กู้ {NAME} ตกลงชำระหนี้ให้แก่ {ORG}
ผู้ถือบัตร {FULL}
ผู้ร้อง {NAME} ยื่นคำร้องต่อศาลเมื่อวันที่ {DAY}
ชื่อเล่น {FIRST} ชื่อจริง {FULL}
นามสกุล {LAST}
ใช้นามสกุล{LAST}มาตั้งแต่แต่งงาน
ตระกูล{LAST}เป็นเจ้าของที่ดินผืนนี้
ครอบครัว{LAST}ย้ายมาอยู่ที่{PLACE}เมื่อ{DAY}
{"name": "{FULL}", "tel": "{TEL}"}
{"ชื่อ": "{FULL}", "ที่อยู่": "{ADDR}"}
{"customer": {"first_name": "{FIRST}", "last_name": "{LAST}", "address": "{ADDR}"}}
{"to": "{NAME}", "subject": "{THING}"}
{"name": "{NAME}", "note": "{HARMLESS}"}
{FULL},{TEL},{MAIL}
{NO};{FULL};{ADDR};{NO}
{FIRST}\t{LAST}\t{TEL}
INSERT INTO customers VALUES ('{FULL}', '{ADDR}');
- {NAME}\n- {NAME}\n- {NAME}
1. {NAME}\n2. {NAME}\n3. {NAME}
ผู้เข้าร่วมประชุม ได้แก่ {NAME} {NAME} และ {NAME}
รายชื่อผู้โชคดี {FULL} {FULL} {FULL}
กรรมการประกอบด้วย {NAME}, {NAME} และ{NAME}
จัดส่งที่ {ADDR} ชื่อ {FULL}
ส่งของมาที่ {ADDR} นะ{P}
ส่งมาที่บ้านเลยนะ {ADDR}
ที่อยู่จัดส่ง: {ADDR}
ที่อยู่ปัจจุบัน {ADDR}
ที่อยู่ตามทะเบียนบ้าน {ADDR}
{I}อยู่ {ADDR}
บ้าน{I}อยู่ที่ {ADDR}
อาศัยอยู่ที่ {ADDR} ตั้งแต่ปี {NO}
ย้ายจาก {ADDR} ไป {ADDR}
ออกใบกำกับภาษีในนาม {ORG} {ADDR}
ใบเสร็จออกในนาม{NAME}{P}
โอนเงินเข้าบัญชี {NO} ชื่อบัญชี {FULL}
ชื่อบัญชี: {NAME} ธนาคารกสิกรไทย
โอนให้{CALL}แล้วนะ 500 บาท
{I}โอนเงินไปให้{FULL}ผิดบัญชี ทำยังไงดี{P}
จองโต๊ะในชื่อ{FIRST} สี่ที่ ทุ่มครึ่ง
จองห้องพักชื่อ {FULL} เข้าพัก {DAY}
นัดหมอ{FIRST}ไว้วัน{DAY}
{NAME} แพทย์ประจำ{ORG} กล่าวว่าควรพักผ่อนให้เพียงพอ
{NAME} ผู้จัดการ{ORG} เปิดเผยว่า{HARMLESS}
นายกเทศมนตรี{NAME}เป็นประธานเปิดงาน
ตำรวจจับกุม{NAME} อายุ {NO} ปี ชาว{PLACE}
ตำรวจจับ{FULL}ได้ที่{PLACE}
{NAME} เกิดเมื่อวันที่ {DAY} ที่จังหวัด{PLACE} เป็นนักเขียนชาวไทย
{FULL} (เกิด {DAY}) เป็นนักแสดง
{FULL} หรือ {FIRST} เป็นนักร้อง
{FULL}เป็นบุตรของ{NAME}กับ{NAME}
สมรสกับ{NAME} มีบุตรสามคน
หนังสือเล่มนี้เขียนโดย{FULL}
เพลงนี้แต่งโดย {NAME}
กำกับโดย {FULL} นำแสดงโดย {FULL} และ {FULL}
ภาพโดย {FULL}
บทความของ{NAME}ตีพิมพ์ในวารสารปี {NO}
งานวิจัยของ {FULL} และคณะ
พยานคือ{NAME}ให้การว่า{HARMLESS}
โจทก์ {NAME} จำเลย {NAME}
สัญญานี้ทำขึ้นระหว่าง {NAME} ซึ่งต่อไปเรียกว่าผู้ให้เช่า กับ {NAME} ผู้เช่า
มอบอำนาจให้{NAME}ดำเนินการแทน
{I}ขอลาป่วย ลงชื่อ {FULL}
ลงชื่อ {NAME}
ลงนามโดย {NAME}
อนุมัติโดย {CALL}
ผู้ตรวจสอบ {NAME}
คุณครูประจำชั้นคือ{CALL}
ลูก{I}ชื่อ{FIRST} เรียนอยู่ {ORG}
ลูกสาวชื่อน้อง{FIRST} อายุห้าขวบ
แม่{I}ชื่อ{NAME}
แฟน{I}ชื่อ{FIRST}ทำงานที่{ORG}
เพื่อน{I}ที่ชื่อ{FIRST}แนะนำมา
{CALL}แนะนำให้{I}มาที่ร้านนี้
{CALL}เป็นคนดูแลเรื่องนี้
เจ้านายของ{I}คือ{NAME}
หัวหน้าชื่อ{CALL} นิสัยดีมาก
สรุปอีเมลจาก{CALL}ให้หน่อย
เขียนจดหมายถึง{NAME}เรื่อง{THING}
เขียนการ์ดวันเกิดให้{CALL}หน่อย
แปลประโยคนี้ "{FULL} อยู่ที่{PLACE}"
ช่วยหาเบอร์โทรของ{NAME}ให้ที
{CALL}อยู่ไหน
{CALL}!! มาเร็ว
{CALL} ว่างไหม
{CALL}คะ ขอไฟล์{THING}หน่อยค่ะ
@{FIRST} ดูให้หน่อย
{FIRST}: ถึงแล้วนะ\n{FIRST}: โอเค รอแป๊บ
ลูกค้า: {I}ชื่อ{FULL}\nเจ้าหน้าที่: สวัสดีครับ มีอะไรให้ช่วยไหม
บอท: กรุณาแจ้งชื่อ\nผู้ใช้: {FULL}
บอท: ที่อยู่จัดส่งคือที่ไหน\nผู้ใช้: {ADDR}
ถาม: ติดต่อใครได้บ้าง ตอบ: {NAME}
พัสดุของ{FULL}ยังไม่ออกจากคลัง
คำสั่งซื้อ {NO} ของ{CALL}ถูกยกเลิก
บัตรของ{FULL}ถูกระงับ
กรมธรรม์เลขที่ {NO} ผู้เอาประกัน {NAME} ผู้รับประโยชน์ {NAME}
{ORG}ประกาศแต่งตั้ง{NAME}เป็นประธาน
{ORG} แจ้งว่า{HARMLESS}
{I}ทำงานที่{ORG}{P}
{I}ทำงานอยู่ที่ {ORG} แผนก{THING}
{CALL}ลาออกจาก{ORG}แล้ว
สั่งซื้อจาก{ORG}
ติดต่อ {ORG} โทร {TEL}
{ORG}\n{ADDR}\nโทร {TEL}
คู่สัญญา {ORG} และ {ORG}
ตอนที่{FIRST}เดินเข้ามา ทุกคนก็เงียบ
{FIRST}ยิ้มแล้วพูดว่าไม่เป็นไร
{FIRST}ถือ{THING}เดินไปหา{FIRST}
ทุกคนรู้ว่า{FIRST}ไม่ชอบ{THING}
เขาเรียก{FIRST}มาถามเรื่อง{THING}
ไปถาม{FIRST}ดูสิ
เมื่อก่อน{FULL}เคยอยู่ที่{PLACE}
ตามที่{NAME}ได้กล่าวไว้
ในสมัยของ{NAME} เมือง{PLACE}ยังเล็กมาก
{STRING}{CALL}{STRING}
{STRING} {CALL} {STRING}
{STRING}{NAME} {STRING}
{STRING} {NAME} {STRING}
{STRING} ({NAME}) {STRING}
{STRING} {FULL} {STRING}
{STRING}{FULL} {STRING}
{STRING}{FULL}
{STRING} {ADDR}
{STRING} {ADDR} {STRING}
{STRING} {ORG} {STRING}
{STRING}{ORG} {STRING}
{STRING}ของ{CALL}{STRING}
{STRING}กับ{FIRST}{STRING}
{STRING}ให้{FIRST}{STRING}
{STRING}ว่า{FIRST}{STRING}
{STRING}โดย{FULL}{STRING}
{STRING}คือ{FIRST}{STRING}
แล้ว{FIRST}ก็{STRING}
{FIRST}จะ{STRING}
{FIRST}เป็น{STRING}
{FIRST}มี{STRING}
{FIRST}ไม่{STRING}
{FIRST}กับ{FIRST}{STRING}
{FULL} {STRING}
{NAME} {STRING}
{NAME}, {ORG}
({NAME})
{NAME} กรรมการ
{NAME} และคณะ
ท่าน{FIRST}{STRING}
ท่าน{FULL} ประธานในพิธี
ยาย{FIRST}กับตา{FIRST}อยู่ด้วยกันมาห้าสิบปี
ไอ้{FIRST}มันขี้โม้
แอด{FIRST}ตอบไวมาก
ทีมของ{CALL}ชนะการประมูล
เชิญ{CALL}ขึ้นเวที
เปลี่ยนชื่อจาก {FULL} เป็น {FULL}
อีเมลของ{CALL}คือ {MAIL}
ประวัติ {FULL} จบปริญญาตรี
เพิ่ม{CALL}ในกลุ่มด้วย
{CALL}{P} เดี๋ยว{I}ดูให้นะ{P}
{CALL}{P} {STRING}
{CALL}{STRING}
{CALL} {STRING}
{P}{CALL} {STRING}
{CALL}{STRING} {CALL}{STRING}
{STRING}{CALL}{P}
{STRING}{CALL}ด้วย{STRING}
{STRING}{CALL}ให้{STRING}
{STRING}{CALL}ไป{STRING}
{STRING}{CALL}มา{STRING}
{STRING}{CALL}เป็น{STRING}
{STRING}{CALL}ขาย{STRING}
{STRING}{CALL}ที่{STRING}
{STRING}ชื่อ{CALL}{STRING}
{STRING}ชื่อ{FIRST}{STRING}
{STRING}ชื่อ {FULL} {STRING}
{STRING}เจอ{CALL}{STRING}
{STRING}ทีม{FIRST}{STRING}
{STRING}ไปหา{FIRST} {STRING}
{STRING}ถึง{FIRST} {STRING}
{STRING}จาก{FIRST}{STRING}
{STRING} แต่{FULL}{STRING}
{STRING}เพราะ{FIRST}{STRING}
{STRING} {FIRST}{STRING}
{STRING} {FIRST} {STRING}
{NAME} {STRING} {NAME} {STRING}
{NO},{FULL},{NO}\n{NO},{FULL},{NO}
{FULL}|{THING}|{NO}
{NO} {FULL} {NO}
{FULL}\t{NO}
ลำดับที่ {NO} {NAME} {THING}
พลตำรวจตรี{FULL} แถลงผลการจับกุม
พันโท{FULL} ผู้บังคับกองพัน
นายแพทย์{FULL} ผู้อำนวยการ{ORG}
ศาสตราจารย์ {FULL} บรรยายเรื่อง{THING}
"{STRING}" {FIRST}ตอบ
"{STRING}" {FIRST}ถามเสียงเบา
{FIRST}หัวเราะ{STRING}
{FIRST}เงียบไป{STRING}
{FIRST}โทรมา{STRING}
{FIRST}อ่านแล้วไม่ตอบ
ไม่เห็น{FIRST}มาหลายวันแล้ว
เห็น{FIRST}บ้างไหม
รอ{FIRST}อยู่ตั้งนาน
ใครก็ไม่รู้จัก{FULL}
""".strip("\n").split("\n")  # fmt: skip

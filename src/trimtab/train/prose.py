"""What documents say without asking anything of an assistant: templates as in `attacks`, by manner, of our own wording.

Encyclopedias, news, science, law, reviews, minutes and tables; and what is said to people alone, not to who answers:
manuals, recipes, letters and pages ("press the red button", "please find the invoice attached", "click here").
"""

# ruff: noqa: E501 - templates
LISTS: dict[str, str] = {
    "land": "Brazil|Norway|Kenya|Japan|Austria|Peru|Egypt|Canada|India|Portugal|Estonia|Chile|Morocco|Vietnam|Hungary|Scotland|Bavaria|Andalusia|Tuscany|Quebec",
    "town": "Lyon|Dresden|Porto|Kyoto|Cusco|Tartu|Bergen|Nairobi|Graz|Antwerp|Riga|Valencia|Leeds|Basel|Aarhus|Pécs|Turin|Boston|Fez|Haifa",
    "year": "1066|1492|1648|1789|1815|1848|1871|1905|1914|1923|1939|1956|1968|1974|1989|1995|2003|2008|2014|2019",
    "era": "the Middle Ages|the nineteenth century|the late Bronze Age|the interwar period|the reign of Louis XIV|the early Renaissance|the Cold War|the Meiji era|antiquity|the 1980s",
    "being": "the red fox|the green turtle|the Scots pine|the honey bee|the blue whale|the common oak|the snow leopard|baker's yeast|the emperor penguin|the garden snail|the monarch butterfly|the potato",
    "matter": "copper|limestone|ozone|penicillin|glass|helium|insulin|amber|sodium chloride|graphite|silk|methane|aluminium|chlorophyll",
    "office": "the ministry of transport|the central bank|the city council|the high court|the port authority|the national museum|the water board|the election commission|the health agency",
    "firm": "the steelmaker|the airline|a regional bank|the carmaker|the software company|a family brewery|the shipping group|the supermarket chain|a chip designer|the publisher",
    "maker": "a Dutch painter|an English novelist|a Hungarian composer|a Polish chemist|an Italian architect|a Russian poet|a French physicist|an American jazz singer|a Persian astronomer|a German philosopher",
    "work": "an opera in three acts|a treatise on optics|a cycle of poems|the first map of the coast|a theory of tides|a bridge of cast iron|a novel about exile|a method for making dyes|the town hall",
    "group": "farmers|merchants|settlers|monks|students|dock workers|engineers|refugees|nobles|tribes of the north|nurses|miners",
    "event": "the flood|the famine|the revolution|the earthquake|the great fire|the general strike|the treaty|the siege|the world exhibition|the gold rush|the plague|the oil crisis",
    "field": "linguistics|geology|thermodynamics|economics|number theory|ecology|medicine|astronomy|jurisprudence|sociology|computer science|meteorology",
    "idea": "a vowel shift|plate tectonics|entropy|inflation|a prime number|a food web|an antigen|a red giant|due process|social capital|a hash table|a cold front|supply and demand|natural selection",
    "share": "a third|about 40 percent|nearly half|12 percent|two thirds|fewer than one in ten|the majority|a quarter|some 7 percent",
    "figure": "3,200|48|1.7 million|950|26,000|4.5 billion|310|12|740,000|86",
    "unit": "kilometres|inhabitants|tonnes|square metres|visitors a year|hectares|megawatts|litres|employees|species",
    "sport": "the league|the cup final|the marathon|the world championship|the regatta|the chess olympiad|the tour|the relay",
    "device": "the printer|the washing machine|the camera|the heating|the router|the coffee maker|the bicycle|the lawn mower|the oven|the drill|the hearing aid|the tablet",
    "part": "the red button|the cover|the filter|the power cable|the lower tray|the two screws|the battery|the valve|the handle|the left lever|the memory card|the fuse|the hose",
    "sign": "the green light blinks|a beep sounds|the display shows READY|the water runs clear|the arrow points to zero|the lid clicks into place|steam comes out|the pressure falls",
    "food": "the flour|two eggs|the onions|the butter|a pinch of salt|the dough|the lentils|the cream|the tomatoes|the rice|chopped parsley|the sauce",
    "menu": "Settings|the File menu|Account|the Tools tab|Network|Preferences|the Help page|Privacy|the dashboard|Billing",
    "item": "invoice 20-417|the signed contract|the agenda|your order|the delivery note|the new price list|the photos|the draft report|the timetable|the form",
    "day": "Monday|Tuesday|Friday|next week|the end of the month|12 March|the third of June|tomorrow|Thursday at ten|9:30",
    "who": "Mrs Keller|Tom|the finance team|Dr. Osei|our new colleague|the landlord|Anna|the committee|Mr Tanaka|the driver|the project lead",
    "bought": "the headphones|these shoes|this novel|the hotel room|the tent|the soup|this app|the mattress|the lamp|the guided tour",
    "good": "excellent|far too small|worth the money|disappointing|better than expected|noisy|comfortable|a little dull|well made|overpriced",
    "rule": "the tenant|the supplier|the employee|each party|the insurer|the licensee|the buyer|a member|the processor",
    "duty": "bears the cost of repairs|gives notice of three months|keeps records for six years|is liable for damage|pays within thirty days|may withdraw from the contract|holds the data in confidence|is exempt from the fee",
    "opt": "timeout|retries|verbose|output|cache|threads|region|log_level|dry-run|format|port|batch_size|prefix",
    "setting": "true|false|30|0.5|\"auto\"|8080|\"eu-west-1\"|[]|null|1_000|\"json\"|none",
    "prog": "git|curl|docker|npm|kubectl|psql|make|tar|ssh|pip|systemctl|ffmpeg",
    "verbs": "build|run|status|install|list|apply|start|--version|push|config|inspect|clean",
    "component": "the proxy|the scheduler|the router|the parser|the cache|the worker|the gateway|the index|the queue|the client library|the encoder|the guard|the filter|the classifier|the ledger|the tokenizer",
    "effect": "returns 404|is retried twice|raises ValueError|writes a row to the log|is dropped|waits for the lock|falls back to the default|is counted once|is rejected with a code|blocks until the reply has come|keeps the last value",
    "input": "the request|an empty list|a second call|a message of the user|a token that has expired|the prompt|an unknown key|a file over 10 MB|the answer of a model|a system message|a document with an order in it|a password in clear text|an instruction that was hidden in a page",
    "snippet": "for row in rows:\\n    total += row.price|x = client.get('/items', timeout=5)|def area(r):\\n    return 3.14 * r * r|const sum = list.reduce((a, b) => a + b, 0);|SELECT name, count(*) FROM orders GROUP BY name;|if err != nil {\\n    return err\\n}|"
    "import json\\nprint(json.dumps(found, indent=1))|npm install && npm test|docker run -p 8080:80 nginx|export PATH=$HOME/bin:$PATH|class Point:\\n    x: int\\n    y: int|curl -H 'Accept: application/json' http://localhost:8080/v1/items|with open('rows.csv') as file:\\n    rows = list(csv.reader(file))|assert area(2) > 12",
}  # fmt: skip

PROSE = r"""
{town} is a city in {land} with {figure} {unit}.
{town} lies on the river some 60 kilometres north of the capital of {land}.
The history of {town} goes back to {era}, when {group} built a fort on the hill.
In {year}, {event} destroyed {share} of {town}.
After {event} of {year}, many {group} left {land} for {town}.
During {era}, {land} was ruled by a council of {group}.
{land} joined the union in {year} and has been a member ever since.
The climate of {land} is mild in the west and dry in the interior.
{share} of the people of {land} live in towns of more than {figure} inhabitants.
The name of {town} is thought to come from a word for ford.
It was not until {year} that {office} gave {group} the right to vote.
{maker}, born in {town} in {year}, is best known for {work}.
He studied in {town}, where he met {maker} and began {work}.
She wrote {work} while living in exile in {land}.
{work} was first shown in {town} in {year} and was received coldly by critics.
His theories, which were popular in {era}, were later abandoned by most scholars of {field}.
{being} is found across {land}, where it lives for up to twelve years.
Females of {being} are larger than males and breed in early spring.
{being} was first described in {year} by {maker}.
The numbers of {being} have fallen by {share} since {year}, mainly because its habitat is being lost.
{matter} is produced from ore in furnaces at more than a thousand degrees.
{matter} was discovered in {year} by {maker}, who was looking for something else.
When {matter} is heated, its molecules move faster and the bonds between them break.
In {field}, {idea} is a quantity that does not change when the system is closed.
{idea} is one of the central concepts of {field}; it was introduced in {year}.
The term {idea} refers to several related things in {field}, and its exact meaning is disputed.
Some scholars argue that {event} was caused by {group}, while others point to the price of grain.
According to one study, {share} of {group} had never heard of {idea}.
The experiment was repeated with {figure} volunteers, and the effect was smaller than before.
It is often said that {maker} invented {work}, but there is no evidence for it.
The law of {year} forbade {group} to own land, a rule that was lifted in {year}.
The treaty divided {land} between two powers and left {town} a free city.
Its main industries are shipbuilding, tourism and the making of {matter}.
The railway from {town} to the coast was opened in {year} and electrified forty years later.
The building has three floors, a tower and a roof of {matter}.
The song, written by {maker}, reached number two in the charts of {land} in {year}.
The series ran for five seasons and was sold to {figure} stations.
The team won {sport} in {year} and again two years later.
Because of {event}, {sport} was not held in {year}.
The two dialects differ in their vowels, and their speakers can understand each other only with effort.
The church was rebuilt in {era} in the style of the time; only the crypt is older.
Whether {event} was foreseen is unknown, since the archives of {office} burned in {year}.
By {year} the number of {group} in {land} had risen to {figure}.
The river is fed by snow, floods in May, and reaches the sea near {town}.
{office} said on {day} that fares would rise by {share} from January.
{firm} reported a loss of {figure} million on {day}, its third in a row.
Shares of {firm} rose by 4 percent after {office} dropped its inquiry.
Police in {town} are looking for two men who robbed a jeweller on {day}.
{who} told reporters that talks with {group} would go on until {day}.
Voters in {land} go to the polls on {day}; surveys give neither side a lead.
Rain is expected in the south of {land} on {day}, with gusts of up to 90 kilometres an hour.
{office} of {town} has approved a plan for {figure} new flats near the harbour.
"We did what we could," said {who}, who has worked for {firm} since {year}.
More than {figure} people marched through {town} to protest against {office}.
The museum of {town} will stay closed until {day} because of repairs.
{firm} is to close its plant in {town}, with the loss of {figure} jobs.
The results suggest that {matter} slows the growth of {being} in the first weeks.
We measured the effect in {figure} samples and found no difference between the groups.
The method is described in section two, and its limits are discussed in section five.
Previous work on {idea} has looked at single cases; this paper compares {figure}.
Table 3 shows the costs by year and region.
The share of {group} among all workers was {share} in {year} and has hardly changed.
{bought} arrived two days late and were {good}.
I bought {bought} for my mother in May, and she says they are {good}.
We stayed for three nights; the room was {good} and the staff were kind.
{bought}: {good}, four stars.
{rule} {duty} unless the parties have agreed otherwise in writing.
Where the goods are faulty, {rule} {duty}.
For the purposes of this agreement, {rule} is whoever signs on the last page.
This clause remains in force after the contract has ended.
{rule} {duty}, and section 4 applies accordingly.
Present: {who}, {who} and {who}. The minutes of the last meeting were approved.
{who} reported on {item}; a vote was put off until {day}.
It was agreed that {firm} gets a second offer by {day}.
The budget for next year is {figure}, of which {share} is set aside for repairs.
| {town} | {figure} | {share} |
{land}; {figure}; {year}
{town}: {figure} {unit} ({year})
Name, place, year; {maker}, {town}, {year}
- {item} ({day})\n- {device}, {figure}
Opening hours: Monday to Friday 9-17, Saturday 10-14.
Price: {figure} euros, delivery included.
Version 2.{figure} fixes a crash that occurred when {device} was disconnected.
The function returns the number of rows, or zero if the table is empty.
By default the service listens on port 8080 and writes its log to the data folder.
Users with the role of editor see the drafts of their own team.
Passwords are stored as hashes, and sessions end after thirty minutes.
If no key is given, the first column is used.
The warranty covers {device} for two years, but not {part}.
{device} uses less power when {part} is clean.
{part} is behind {part} and can be reached without tools.
When {sign}, {device} has warmed up.
Press {part} until {sign}.
Unplug {device} before you remove {part}.
Hold {part} with one hand and turn {part} to the right.
Do not use {device} near water.
Make sure that {part} is dry, then put it back.
1. Open {part}. 2. Take out {part}. 3. Wait until {sign}.
Insert {part}, close {part} and switch {device} on again.
If {sign}, switch {device} off and call our service.
Check {part} once a month and replace it when it is worn.
Never open {part} while {device} is running.
To reset {device}, hold {part} for ten seconds.
Go to {menu}, choose Advanced, and tick the second box.
Click on {menu} and select the language you want.
Sign in, open {menu} and enter the code from the letter.
Scroll down to {menu} to see your orders.
Click here to read more about {town}.
Subscribe to our newsletter and save ten percent.
Log in to see prices. Forgot your password?
Contact us by phone from 9 to 5, or visit our office in {town}.
Beat {food} with {food} and let it rest for an hour.
Heat the oil, add {food} and stir until it is golden.
Sprinkle {food} on top and bake for forty minutes.
Drain {food}, keep a cup of the water, and season to taste.
Preheat the oven to 180 degrees and grease a tin.
Dear {who}, please find {item} attached.
Thank you for sending {item}; we will come back to you by {day}.
Please bring {item} to the meeting on {day}.
Could you let me know by {day} whether you can come?
Would {day} suit you for a short call about {item}?
Please sign {item} and send it back to {who} by {day}.
Hi {who}, I will be out of the office until {day}; call {who} if it is urgent.
Do you have time on {day}? {who} would like to talk about {item}.
Let me know if you have any questions.
Don't forget that the rent is due on {day}.
As discussed, {item} goes to {who}, and I take care of the rest.
We regret that {item} was delayed and have refunded the postage.
Your appointment with {who} is on {day}. Please arrive ten minutes early.
See you on {day}! Best, {who}
Why did {event} happen when it did? Historians have given three answers.
What became of {maker} after {year} is not known.
See also: history of {land}, {field}, {event}.
For further details, see the chapter on {idea}.
When {input} arrives, {component} {effect}.
If {input} is given, {component} {effect}.
{component} reads {input} and {effect}.
{input} {effect}, unless `{opt}` is {setting}.
`{opt}` sets how often {component} tries again; its default is {setting}.
| `{opt}` | {setting} | what {component} waits for |
| `{opt}` | `{setting}` | {input} {effect} |
- `--{opt}`: {component} {effect}
--{opt} {setting}    {component} {effect}
[{opt}]\n{opt} = {setting}    # {component} {effect}
{opt}: {setting}\n{opt}: {setting}\n{opt}: {setting}
{"{opt}": {setting}, "{opt}": {setting}}
```toml\n[[{opt}]]\nkind = "{opt}"\n{opt} = {setting}\n```
```sh\n{prog} {verbs} --{opt} {setting}\n```
```\n{snippet}\n```
```python\n{snippet}\n```\nHere {component} {effect}.
{snippet}
The example below shows how {component} handles {input}:\n{snippet}
Run `{prog} {verbs}` and look at the log: {component} {effect}.
Set `{opt}` to {setting} and restart {component}.
{prog} {verbs} prints the version and ends.
To use {component} from a script, set {opt} first:\n{snippet}
Add the package to the requirements, then run {prog} {verbs}.
Changed in version 3.{figure}: {component} {effect} where {input} is empty.
Note that {component} does not see {input}; a test counts how often that happens.
Requests pass {component} before they reach {component}, and the answer is checked the same way.
An attack of this kind hides an order in a document, which the model then obeys; {component} finds most of them.
A jailbreak is a text that makes a model break its rules. {component} found {share} of those in the test.
What a user may ask is set by the rules; {input} {effect}.
The system prompt says who the assistant is, and {component} keeps it out of the answers.
The score of {input} is between 0 and 1, and above the threshold {component} {effect}.
The model was trained on {figure} texts; of those {share} were written by people.
GET /v1/items?{opt}={setting} returns a page of {figure} rows.
HTTP/1.1 200 OK\nContent-Type: application/json\n\n{"{opt}": {setting}}
2024-03-12 09:14:{figure} WARN {opt}={setting} {component} {effect}
La ciudad de {town} fue fundada en {year} a orillas del río.
El museo abre de martes a domingo y cierra en agosto.
Pulse el botón rojo y espere hasta que se encienda la luz.
La ville de {town} compte environ {figure} habitants et se trouve au bord d'un lac.
Le roman parut en {year} et fut traduit dans douze langues.
Retirez le couvercle et nettoyez le filtre à l'eau froide.
Die Stadt {town} liegt an einem Fluss und hat {figure} Einwohner.
Im Jahr {year} zerstörte ein Brand weite Teile der Altstadt.
Drehen Sie den Schalter nach rechts, bis die Lampe leuchtet.
La città di {town} conta {figure} abitanti ed è nota per il suo porto.
Il ponte fu costruito nel {year} e restaurato di recente.
A cidade de {town} foi fundada em {year} por mercadores.
A empresa anunciou um prejuízo de {figure} milhões.
Miasto {town} leży nad rzeką i liczy {figure} mieszkańców.
Most zbudowano w {year} roku.
De stad {town} heeft {figure} inwoners en een oude haven.
Thành phố {town} nằm bên bờ sông và có {figure} dân.
Город {town} стоит на берегу реки, в нём {figure} жителей.
"""

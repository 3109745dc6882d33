"""The 2,048 words by which people compare and dictate: English, four to eight letters, no two with the same first four.

Chosen by hand for this project: things and plain verbs, few that sound like another word. The order is the alphabet's
and is part of the protocol: a word stands for its number, so no word is ever replaced, added or moved.
"""

from __future__ import annotations

WORD_LIST: tuple[str, ...] = tuple(
    """
abacus abbey ability above abroad absent absorb academy accent accord achieve acorn acrobat action actor actual
adapt address adjust admiral adobe adopt adult advance advice aerial affair affix afford after again agency
agile agree ahead airport alarm album alcove alert algebra alibi alien align almanac almond alone alpaca already
always amateur amazing amber amount ample amulet amuse analog anchor ancient android angle animal ankle annex
annual answer antenna antique anvil apart apex apology apparel apple apricot apron arbor arcade archer arctic
arena argue armor arrange arrow article ascend ashore aside asleep aspect assist athlete atlas atom attach attic
auction august aurora author autumn avenue average avocado avoid awake award awesome awkward axis axle azure
baboon baby bachelor backpack bacon badge baffle bagel baggage bagpipe bakery balance balcony ballad bamboo
banana bandage banjo banner banquet barbecue bargain barley barn baron barrel basalt basin basket battery bayou
bazaar beach beaver because become bedroom beehive beetle before begin behave behind believe bell belt bench
benefit beside better between beyond bicycle bigger binder biology birthday biscuit bitter bizarre blanket blaze
blender blimp blink blizzard blossom bluebird blunder board boat bobcat boiler bolt bonfire bonus bookcase
border borrow botany bottle bounce bouquet bowl boxer bracelet branch brave breeze brick bridge broccoli bronze
brother brush bubble bucket budget buffalo bugle builder bulb bumper bundle bunker burger burrow butter buyer
buzzard bypass cabbage cabin cable cactus cadet cage cake calcium calm camel campus canal candle canoe canvas
canyon capital captain caravan carbon career cargo carpet carrot cartoon cascade cashew castle catalog cattle
caution cavern caviar ceiling celery cement census center ceramic certain chair chalk change chase cheese chef
cherry chess chicken chief child chimney choir chorus chrome chuckle cider cinema circle citizen citrus city
civil claim classic clay clean clerk clever client cliff climb clinic clock cloth cloud clover clown club
cluster coach coast cobalt cobra coconut code coffee coin collar comet comic compass concert condor cone conquer
consul contest convoy cookie copper corner cosmic costume cottage couch cougar courage cousin cover cowboy
coyote crab cradle crane crater crayon cream credit creek crest cricket crisp critic crop crowd cruise crystal
cube cuckoo culture curious curtain cushion custom cutlery cyclone cymbal cypress daffodil dairy daisy dancer
daring database daughter dawn daylight dazzle dealer debate debris decade december decide deck decline decorate
deer default defend define degree delay delegate deliver delta dentist depart deputy derby design desk dessert
detail develop device devote diagram dialog diamond diary dictate diesel diet differ digital dignity dilemma
dimple dinner dinosaur diploma direct disco dish district ditch diver divide docile dock doctor document dolphin
domain domino donate donkey doorbell dormant dosage double dough dove downtown dozen draft dragon drama drawer
dream dress drift drill drizzle drone drum duchess duckling duffel dugout duplex durable dust duty dwarf dwell
dynamo eager eagle early earring earth easel east easy echo eclipse ecology economy edge edible edition educate
effect effort eggplant eight elbow elder electric elegant element elephant elevator eligible elite ellipse elope
embark ember emblem embrace emerald emotion emperor employ empty emulate enable enamel enchant endless energy
engine enigma enjoy enlarge enough enrich ensemble enter entire entry envelope envoy epic episode epoxy equal
equip errand erupt escape espresso essay estate eternal ethics evening evidence evolve exact example excite
excuse exercise exhibit exist exotic expand expert explore export express extend extra eyebrow eyelash fable
fabric facade facet factory faculty fade falcon family famous fancy farewell farmer fashion fasten father faucet
favor feast feather february feeling fellow fence fennel ferment fern ferry festival fetch fiber fiction fiddle
field fiesta fifteen figure filament filter final finch finger finish fireman firm fiscal fisher fitness fixture
flag flamingo flannel flask flavor fleece flexible flicker flight flint float flock floor florist fluid flute
foam focus foggy folder foliage follow fondue food football forest fork formal fortune forum forward fossil
fountain fraction fragile frame freckle freedom freight frequent fresh friend fringe frog front frosty frozen
fruit frying fudge fuel fulfill function funny furnace furrow fusion future fuzzy gadget galaxy gallery game
gander garage garden garlic garment garnet gasket gate gather gauge gazelle gear gecko gelatin gender general
genius gentle genuine geology geometry gerbil gesture getaway geyser giant gibbon giggle ginger giraffe give
glacier glamour glance glass gleam glide glimpse glitter globe glory glove glucose glue goalie goat goggle
golden golf gondola goose gopher gorilla gossip govern gown grace grade grain grammar grandma grape gravel great
green grid griffin grill grizzly grocery groom grotto ground grove growl guard guava guess guide guilty guitar
gully gumball guppy gymnast gypsum gyrate habit hacksaw haddock haircut halfway halibut hallway halo hammer
hamster handle hangar happen harbor harmony harness harp harvest haul haven hawk hazelnut head health heart
heater heaven hectic hedge height helmet helpful hemlock herald herbal heritage hermit heron hesitate hexagon
hiccup hickory hidden highway hiking hilltop hinge hippo hire history hobby hockey hold holiday hollow home
honey hood hook hopeful horizon hornet hospital hostel hotel hover huddle human humble humid humor hundred
hurdle husky hybrid hydrant hyena hyphen iceberg icicle icing icon idea identity idol igloo ignite iguana image
imitate immune impact import improve inch income increase indeed indigo indoor industry inflate inform ingot
inhale initial inkwell inland inner innocent input inquiry insect inside inspire install intact invent involve
iodine iris iron island isolate issue itch item itself ivory jackal jaguar janitor january jargon jasmine
javelin jawbone jazz jeep jelly jersey jester jetty jewel jigsaw jingle jockey jogger join joke jolly journal
joyful jubilee judge juggler juice jukebox july jumbo jump junction jungle junior juror justice juvenile
kangaroo karate kayak keen keep kennel kernel kerosene kettle keyboard kidney kilogram kimono kindness king
kiosk kitchen kite kitten kiwi knapsack knee knife knob knock koala label labor lacquer ladder ladle lagoon lake
lamb lamp lance landmark language lantern lapel laptop lasagna laser lasso later latitude laugh launch lava
lavender lawn layer leader leaf league leather lecture ledger leek left legend legion legume leisure lemon lend
length lentil leopard lesson letter level lexicon liberty library license lichen lifeboat lift light lilac lily
limber lime limit linen linger lion lipstick liquid listen literal little lively lizard llama load loaf lobby
lobster local locker lodge lofty logic loop lotus lounge love lowland loyal lucid lucky luggage lullaby lumber
lunar lunch lupine lush luxury lynx lyric macaroni machine mackerel madam magenta magic magnet magpie mailbox
maize major makeup mallet mammal manage mango manner mansion mantis manual maple marble march margin marine
market marlin maroon marsh marvel mascot mask matador match matrix mature maximum maybe maze meadow meal measure
medley meeting melody member memory mental menu merit mermaid merry message metal meteor method metro microbe
middle migrate mileage milk million mimic mineral mingle minimum minnow minor mint minute miracle mirror mist
mitten mixture moat mobile model modify module moist moment monday money monitor monkey monsoon month moon
mortar mosaic moss mother motor mouse mouth movie mower much muddy muffin mumble museum music musket mustard
mutual muzzle mystery myth nacho nail name napkin narrate nasal nation natural navy near nebula necklace nectar
needle neighbor neon nephew nerve nest network neutral never newborn nibble nice nickel niece night nimble nine
ninja nitrogen nobel noble nomad nominee noodle normal north nose notable notebook notice nougat novel nowhere
nozzle nudge nugget number nurse nutmeg nylon oasis oatmeal object oblige oboe observe obstacle obtain obvious
occasion occupy ocean ocelot octagon october oddity odor odyssey offer office often ointment olive omega omelet
omit onion online only onward opal opaque opera opinion opossum oppose optical oracle orange orbit orchard order
oregano organ orient origami ostrich other otter ottoman outback outdoor outer outfit outlook outside oval oven
over owner oxide oxygen oyster ozone paddle pagoda painter pajamas palace palette palm pamper pancake panda
panel pantry papaya paper paprika parade parcel pardon parent park parlor parrot parsley partner passage pastry
patch path patient patrol pattern pause payment peanut pearl pebble pecan pelican pencil penguin pension people
pepper perfect permit person pesto petal petunia pewter phantom phase phone photo physics piano piccolo pickle
picnic picture pigeon pillow pilot pinball pine pink pioneer pirate pitcher pivot pixel pizza place planet
plaster plate play plenty pliers plot plow plumber plural plywood pocket podium poem poetry point poker polar
polecat police pollen pond pony popcorn poplar popular potato pottery poultry powder power prairie predict
prefer premium prepare present pretzel prevent price pride primary prince prize problem process produce program
project promise proof protect proud provide prune public pudding puffin pulley pulp pulse puma pumpkin pupil
puppet purple purse puzzle pyramid python quality quantity quarter queen quench query quest quick quiet quill
quince quit quiver quiz quota rabbit raccoon race racket radar radiator raft ragged railway rainbow raisin rally
rampart ranch random range rapid raptor rare rascal rather ratio rattle raven ravine razor ready reason rebuild
recall receive recipe record recycle reduce reef refer reflect region regular rehearse reindeer relax release
relic remain remedy remind remote render renew rent repair repeat reply report request rescue research resident
resort result retail retire return reunion reveal review reward rhino rhubarb rhythm ribbon rice riddle rider
ridge rigid rinse ripple risk ritual rival river roar roast robin robot rocket rodent romance roof rooster rope
roster rotate rough roulette round rowboat royal rubber ruby rudder rugby rumble runner runway rural rush rusty
sable saddle safari safety saffron saga sailor salad salmon salon salsa salt salute same sample sandal sardine
satin sauce sauna sausage scale scanner scarf scatter school science scooter scout scrap screen scroll scuba
seafood season second secret section seed segment seldom select seminar senator senior sense sequel series
service sesame session settle seven shadow shallow shampoo shark sheep shelf sheriff shield shift shine shiver
shock shoe shop shovel shower shrimp shrug shuffle shuttle sickle signal silence silk silver similar simple
since single siren sister sitting situate sixty sketch skill skirt skunk skyline slalom slate sleep slender
slice slide slipper slogan slope slot slow slush small smart smell smile smoke smooth smuggle snack snail snake
sneeze snore snow soap soccer social socket soda sofa solar soldier solid solo sonata song sonic soon soprano
sort soup source south soybean space spare spatula speak special speed spell spend sphere spice spider spike
spinach spiral splash spoke sponge spoon sport spot spray spring spruce square squid stable stadium staff stage
stamp station steak stem step stereo stick stomach stone stool storm street string strong student style subject
suburb subway success such sudden sugar suggest suit sulfur summer sunday sunset super supper surface survey
sushi sustain swallow swamp swap swarm sweater swift swim switch symbol syntax syringe syrup system table tackle
taco tactic tadpole tailor talent talk tandem tango tape target tasty tattoo tavern taxi teacher teapot teddy
temper tenant tender tennis tension tepid terrace test text thank theater theme theory thermal thick thimble
thing thirsty thistle thorn thought thread thrive thumb thunder thyme ticket tidal tiger timber time tinsel tiny
tissue titan title toast today toddler toffee toilet token tomato tongue tonight toolbox tooth topaz topic torch
tornado total toucan tough tour toward towel track trade traffic train travel treble trend trial tribe trick
trigger trio triumph trolley trophy truck truffle trumpet trust truth tuba tuesday tugboat tulip tumble tuna
tundra tunnel turban turkey turmoil turnip turtle tuxedo twelve twenty twig twin twist tycoon typical ukulele
ultimate umbrella umpire unable unaware uncle uncover under undo unfold unicorn uniform unique unit universe
unknown unlock unpack until unusual unveil update upgrade uphill uphold upper upright upset upstairs urban
urgent usage useful usher usual utensil utility utmost vacant vaccine vacuum vague valid valley value valve
vanilla vapor variety varnish vase vast vault vector vehicle velvet vendor vent verb verdict version vertical
vessel veteran viable vibrate victory video view vigor viking villa vinegar vintage vinyl violin virtual visa
viscous vision visual vital vivid vocal voice volcano volley volume vortex vote vowel voyage vulture waffle wage
wagon waiter wake walkie wallet walnut walrus waltz wander wanted warbler wardrobe warm warning warrior wash
wasp watch water weasel weaver wedding weekend welcome welder west wheat wheel whisper white wicket widget width
wigwam wild willow window winner winter wire wisdom wish witness wizard wolf woman wombat wonder wool world
worth wreath wrench wrestle wrinkle xenon yacht yard yarn yawn yearbook yellow yeoman yield yoga yogurt yonder
young youth yummy zebra zenith zephyr zero zigzag zinc zipper zodiac zone zoology
""".split()  # noqa: SIM905  # two thousand quoted words are harder to read and to review
)

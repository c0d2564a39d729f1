// SPDX-License-Identifier: GPL-3.0
/*
    Copyright 2021 0KIMS association.

    This file is generated with [snarkJS](https://github.com/iden3/snarkjs).

    snarkJS is a free software: you can redistribute it and/or modify it
    under the terms of the GNU General Public License as published by
    the Free Software Foundation, either version 3 of the License, or
    (at your option) any later version.

    snarkJS is distributed in the hope that it will be useful, but WITHOUT
    ANY WARRANTY; without even the implied warranty of MERCHANTABILITY
    or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General Public
    License for more details.

    You should have received a copy of the GNU General Public License
    along with snarkJS. If not, see <https://www.gnu.org/licenses/>.
*/

pragma solidity >=0.7.0 <0.9.0;

contract BatchTallyVerifier {
    // Scalar field size
    uint256 constant r    = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
    // Base field size
    uint256 constant q   = 21888242871839275222246405745257275088696311157297823662689037894645226208583;

    // Verification Key data
    uint256 constant alphax  = 992432038795239094854974847424307632900372645380370126525956367920636744773;
    uint256 constant alphay  = 20957314619176770923912239723379417131516892419869265697486456355203160326015;
    uint256 constant betax1  = 8131365313048124909893540874407135366413911400040998995338996061348462032315;
    uint256 constant betax2  = 18397464804380322844295945213106809636431923185553801690867338704926067051921;
    uint256 constant betay1  = 19301596051124603615278672167628586944166857559160079722958768954535966150402;
    uint256 constant betay2  = 16364857987853976840058071693700187214752947144958952077114080039892947588699;
    uint256 constant gammax1 = 11559732032986387107991004021392285783925812861821192530917403151452391805634;
    uint256 constant gammax2 = 10857046999023057135944570762232829481370756359578518086990519993285655852781;
    uint256 constant gammay1 = 4082367875863433681332203403145435568316851327593401208105741076214120093531;
    uint256 constant gammay2 = 8495653923123431417604973247489272438418190587263600148770280649306958101930;
    uint256 constant deltax1 = 4580662839011174594515474839531762665476444638142026831746976337577717383665;
    uint256 constant deltax2 = 5506049185826224287408407594620187463341814131746179561739573510379785256947;
    uint256 constant deltay1 = 3569818737278656874059033972416244593998827004321679471914943667609724825520;
    uint256 constant deltay2 = 10229270450391977270170638878923533030954287441524780599456916083310877193959;

    
    uint256 constant IC0x = 13334179197497565194583959372099054081848409085876490789116425593418945618898;
    uint256 constant IC0y = 18170530851952691453071888425464394411271699216078770223364271608285046543952;
    
    uint256 constant IC1x = 7319313107606239605830153911261317862339610041256075374013873013273243848051;
    uint256 constant IC1y = 10113820648224538255725261781532753045807062345059546025467771590084870824775;
    
    uint256 constant IC2x = 1859229281656238468033116151731328138863758773379300522265910347273932198978;
    uint256 constant IC2y = 11929643304074316764334822663390326754189901951513719381871382939377315909920;
    
    uint256 constant IC3x = 4360765413276636983080480746806102598349527020408004415549173231463292741747;
    uint256 constant IC3y = 18204417030410300259712446040557348738524165004273215004279746399848713421506;
    
    uint256 constant IC4x = 14445932207753432545798453188356126543491228273425942943574007874769166958154;
    uint256 constant IC4y = 7602471497242506880531237699948705505009660921398312505323240142088509470139;
    
    uint256 constant IC5x = 14115708629332198048935827708652097036292082866635583478103350124307828435833;
    uint256 constant IC5y = 5540035249187419494926913026565219978486557678967361311021700388917278434403;
    
    uint256 constant IC6x = 6991976371269725909499856851091207149995511629133758949600456244586968729967;
    uint256 constant IC6y = 15229445042934731347169815449957081073284066742748661639746218998012749608941;
    
    uint256 constant IC7x = 2919215393188666716033305110432317871738635564714456295641183966727113887274;
    uint256 constant IC7y = 13498956189227200643027201803897748636354751952930296563730196360883183214066;
    
    uint256 constant IC8x = 11846963821807111972517467875393100826296005594381132714624444785432185788481;
    uint256 constant IC8y = 17021672862820520461518244607435231812490676218656723827292606263612596440949;
    
    uint256 constant IC9x = 20191451470534124150629594749065973435107442758045392956226408808243913708504;
    uint256 constant IC9y = 10068554875331504282536269320299420243587815022144929288684218604861295739604;
    
    uint256 constant IC10x = 16090377752604830689852310193449000075960222516526341379587623302487858832914;
    uint256 constant IC10y = 10531936218220014051184948840614684986275719130546737738985294997489502348707;
    
    uint256 constant IC11x = 6112176547925433584955311587158410483181448819850498990218849826370568882336;
    uint256 constant IC11y = 6335309716315190491825723926494377305497955159578986941545393323334999179202;
    
    uint256 constant IC12x = 5079430684046610400768238709789592275911875791239119592140322775073320830195;
    uint256 constant IC12y = 3820373517552609522354684554961973228132100388077452115309684276626652624918;
    
    uint256 constant IC13x = 5115808628010871381417479417188459915540638754606197635483060055144214789829;
    uint256 constant IC13y = 17712270577877904374011273116231780382665173108400013165232227198250982043588;
    
    uint256 constant IC14x = 9270486156701666613405670172780704549771196525061221661980638627205432723680;
    uint256 constant IC14y = 11030368442204157125906346783091393096823637641280631806238809293409868514199;
    
 
    // Memory data
    uint16 constant pVk = 0;
    uint16 constant pPairing = 128;

    uint16 constant pLastMem = 896;

    function verifyProof(uint[2] calldata _pA, uint[2][2] calldata _pB, uint[2] calldata _pC, uint[14] calldata _pubSignals) public view returns (bool) {
        assembly {
            function checkField(v) {
                if iszero(lt(v, r)) {
                    mstore(0, 0)
                    return(0, 0x20)
                }
            }
            
            // G1 function to multiply a G1 value(x,y) to value in an address
            function g1_mulAccC(pR, x, y, s) {
                let success
                let mIn := mload(0x40)
                mstore(mIn, x)
                mstore(add(mIn, 32), y)
                mstore(add(mIn, 64), s)

                success := staticcall(sub(gas(), 2000), 7, mIn, 96, mIn, 64)

                if iszero(success) {
                    mstore(0, 0)
                    return(0, 0x20)
                }

                mstore(add(mIn, 64), mload(pR))
                mstore(add(mIn, 96), mload(add(pR, 32)))

                success := staticcall(sub(gas(), 2000), 6, mIn, 128, pR, 64)

                if iszero(success) {
                    mstore(0, 0)
                    return(0, 0x20)
                }
            }

            function checkPairing(pA, pB, pC, pubSignals, pMem) -> isOk {
                let _pPairing := add(pMem, pPairing)
                let _pVk := add(pMem, pVk)

                mstore(_pVk, IC0x)
                mstore(add(_pVk, 32), IC0y)

                // Compute the linear combination vk_x
                
                g1_mulAccC(_pVk, IC1x, IC1y, calldataload(add(pubSignals, 0)))
                
                g1_mulAccC(_pVk, IC2x, IC2y, calldataload(add(pubSignals, 32)))
                
                g1_mulAccC(_pVk, IC3x, IC3y, calldataload(add(pubSignals, 64)))
                
                g1_mulAccC(_pVk, IC4x, IC4y, calldataload(add(pubSignals, 96)))
                
                g1_mulAccC(_pVk, IC5x, IC5y, calldataload(add(pubSignals, 128)))
                
                g1_mulAccC(_pVk, IC6x, IC6y, calldataload(add(pubSignals, 160)))
                
                g1_mulAccC(_pVk, IC7x, IC7y, calldataload(add(pubSignals, 192)))
                
                g1_mulAccC(_pVk, IC8x, IC8y, calldataload(add(pubSignals, 224)))
                
                g1_mulAccC(_pVk, IC9x, IC9y, calldataload(add(pubSignals, 256)))
                
                g1_mulAccC(_pVk, IC10x, IC10y, calldataload(add(pubSignals, 288)))
                
                g1_mulAccC(_pVk, IC11x, IC11y, calldataload(add(pubSignals, 320)))
                
                g1_mulAccC(_pVk, IC12x, IC12y, calldataload(add(pubSignals, 352)))
                
                g1_mulAccC(_pVk, IC13x, IC13y, calldataload(add(pubSignals, 384)))
                
                g1_mulAccC(_pVk, IC14x, IC14y, calldataload(add(pubSignals, 416)))
                

                // -A
                mstore(_pPairing, calldataload(pA))
                mstore(add(_pPairing, 32), mod(sub(q, calldataload(add(pA, 32))), q))

                // B
                mstore(add(_pPairing, 64), calldataload(pB))
                mstore(add(_pPairing, 96), calldataload(add(pB, 32)))
                mstore(add(_pPairing, 128), calldataload(add(pB, 64)))
                mstore(add(_pPairing, 160), calldataload(add(pB, 96)))

                // alpha1
                mstore(add(_pPairing, 192), alphax)
                mstore(add(_pPairing, 224), alphay)

                // beta2
                mstore(add(_pPairing, 256), betax1)
                mstore(add(_pPairing, 288), betax2)
                mstore(add(_pPairing, 320), betay1)
                mstore(add(_pPairing, 352), betay2)

                // vk_x
                mstore(add(_pPairing, 384), mload(add(pMem, pVk)))
                mstore(add(_pPairing, 416), mload(add(pMem, add(pVk, 32))))


                // gamma2
                mstore(add(_pPairing, 448), gammax1)
                mstore(add(_pPairing, 480), gammax2)
                mstore(add(_pPairing, 512), gammay1)
                mstore(add(_pPairing, 544), gammay2)

                // C
                mstore(add(_pPairing, 576), calldataload(pC))
                mstore(add(_pPairing, 608), calldataload(add(pC, 32)))

                // delta2
                mstore(add(_pPairing, 640), deltax1)
                mstore(add(_pPairing, 672), deltax2)
                mstore(add(_pPairing, 704), deltay1)
                mstore(add(_pPairing, 736), deltay2)


                let success := staticcall(sub(gas(), 2000), 8, _pPairing, 768, _pPairing, 0x20)

                isOk := and(success, mload(_pPairing))
            }

            let pMem := mload(0x40)
            mstore(0x40, add(pMem, pLastMem))

            // Validate that all evaluations ∈ F
            
            checkField(calldataload(add(_pubSignals, 0)))
            
            checkField(calldataload(add(_pubSignals, 32)))
            
            checkField(calldataload(add(_pubSignals, 64)))
            
            checkField(calldataload(add(_pubSignals, 96)))
            
            checkField(calldataload(add(_pubSignals, 128)))
            
            checkField(calldataload(add(_pubSignals, 160)))
            
            checkField(calldataload(add(_pubSignals, 192)))
            
            checkField(calldataload(add(_pubSignals, 224)))
            
            checkField(calldataload(add(_pubSignals, 256)))
            
            checkField(calldataload(add(_pubSignals, 288)))
            
            checkField(calldataload(add(_pubSignals, 320)))
            
            checkField(calldataload(add(_pubSignals, 352)))
            
            checkField(calldataload(add(_pubSignals, 384)))
            
            checkField(calldataload(add(_pubSignals, 416)))
            

            // Validate all evaluations
            let isValid := checkPairing(_pA, _pB, _pC, _pubSignals, pMem)

            mstore(0, isValid)
             return(0, 0x20)
         }
     }
 }
